/** What the firewall has written down, told as sightings: each once, and nothing of who has a session. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipv4, printAddress } from '../../src/core/address.ts';
import type { Sighting } from '../../src/core/sightings.ts';
import type { Try } from '../../src/firewall/driver.ts';
import { Tries } from '../../src/keeper/tries.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ALICE = ipv4(0x0a00_0007);
const MALLORY = ipv4(0x0a00_0009);
const WIREGUARD: Try = { source: MALLORY, protocol: 'udp', port: 51_820, remaining: 60_000 };

function stage() {
  const clock = new ManualClock();
  const seen: Sighting[] = [];
  const firewall: { tried: readonly Try[]; broken: boolean } = { tried: [], broken: false };
  const tries = new Tries({
    tried: async () => {
      if (firewall.broken) throw new Error('no guard');
      return firewall.tried;
    },
    touch: ({ port }) => (port === 23 ? 'trap' : port === 9 ? undefined : 'closed'),
    hasSession: async (source) => source === ALICE,
    sighted: (sighting) => seen.push(sighting),
    monotonicNow: clock.monotonicNow,
    after: clock.after,
  });
  const told = (): string[] =>
    seen
      .splice(0)
      .map(
        ({ source, traps, closed, ports: [port] }) =>
          `${printAddress(source)} ${traps} ${closed} ${port?.protocol}/${port?.port}`,
      );
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { clock, firewall, tries, told, settled };
}

test('what is written down is told once, and again when the firewall has written it down anew', async () => {
  const { clock, firewall, tries, told } = stage();
  // ipset lists some elements twice.
  firewall.tried = [WIREGUARD, { ...WIREGUARD, protocol: 'tcp', port: 23 }, WIREGUARD];
  await tries.look();
  assert.deepEqual(told(), ['10.0.0.9 0 1 udp/51820', '10.0.0.9 1 0 tcp/23']);
  for (const remaining of [58_000, 56_900]) {
    clock.advance(2000);
    firewall.tried = [{ ...WIREGUARD, remaining }];
    await tries.look();
    assert.deepEqual(told(), []);
  }
  clock.advance(70_000);
  firewall.tried = [{ ...WIREGUARD, remaining: 50_000 }];
  await tries.look();
  assert.deepEqual(told(), ['10.0.0.9 0 1 udp/51820']);
});

test('a late segment of a session is no try, nor is what no port of ours was asked for', async () => {
  const { firewall, tries, told } = stage();
  firewall.tried = [
    { ...WIREGUARD, source: ALICE, protocol: 'tcp', port: 22 },
    { ...WIREGUARD, source: ALICE },
    { ...WIREGUARD, port: 9 },
  ];
  await tries.look();
  assert.deepEqual(told(), ['10.0.0.7 0 1 udp/51820']);
});

test('of a flood 64 are told at a time, the others later', async () => {
  const { firewall, tries, told } = stage();
  firewall.tried = Array.from({ length: 100 }, (_, index) => ({ ...WIREGUARD, source: ipv4(0x0b00_0000 + index) }));
  await tries.look();
  assert.equal(told().length, 64);
  await tries.look();
  assert.equal(told().length, 36);
  await tries.look();
  assert.equal(told().length, 0);
});

test('it looks every five seconds from the start to the end, whatever the firewall says', async () => {
  const { clock, firewall, tries, told, settled } = stage();
  const pass = async (): Promise<void> => {
    clock.advance(5000);
    await settled();
  };
  firewall.tried = [WIREGUARD];
  firewall.broken = true;
  tries.start();
  await pass();
  firewall.broken = false;
  await pass();
  assert.deepEqual(told(), ['10.0.0.9 0 1 udp/51820']);
  tries.stop();
  firewall.tried = [{ ...WIREGUARD, port: 51_821 }];
  await pass();
  assert.deepEqual(told(), []);
});
