/** The guard that somebody else removes, that the firewall refuses, that ends; with a tarpit that nobody asks for. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextRound } from 'node:timers/promises';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { Refusal } from '../../src/control/controlled.ts';
import { type FirewallDriver, FirewallError } from '../../src/firewall/driver.ts';
import { startCaged } from '../../src/keeper/caged-start.ts';
import { StandingGuard } from '../../src/keeper/standing-guard.ts';
import { Tarpit } from '../../src/keeper/tarpit.ts';
import { tarpitSystem } from '../../src/keeper/tarpit-system.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { PretendedFirewall } from '../support/pretended-firewall.ts';

function configOf(door: string) {
  const result = parsePosternToml(`[door.${door}]\nprotect = ["tcp/80"]\n`, { file: 'postern.toml' });
  assert.ok(result.ok);
  return result.config;
}

async function stage() {
  const clock = new ManualClock();
  const done: string[] = [];
  const firewall = { refuses: false, lost: () => {} };
  const driver: FirewallDriver = new PretendedFirewall(clock, true);
  driver.install = async ({ doors }) => {
    if (firewall.refuses) throw new FirewallError('no such chain');
    done.push(`install ${doors.map(({ name }) => name)}`);
    return true;
  };
  driver.watch = (lost) => {
    firewall.lost = lost;
    return { close: () => void done.push('unwatched') };
  };
  const { monotonicNow, after } = clock;
  const guard = new StandingGuard(
    {
      driver,
      tarpit: new Tarpit({ warn: () => {}, system: tarpitSystem(startCaged), monotonicNow, after }),
      face: async ({ doors }) => ({ face: doors[0]?.name === 'web' ? 'reset' : 'auto' }),
      refill: async () => void done.push('refill'),
      record: ({ type, detail }) => void done.push([type, detail].filter((word) => word !== undefined).join(': ')),
      after,
    },
    configOf('ssh'),
  );
  await guard.begin(async (stood) => void done.push(`fill, stood: ${stood}`));
  assert.deepEqual(done.splice(0), ['install ssh', 'fill, stood: true']);
  return { clock, done, firewall, guard };
}

test('a guard that was removed is put back with what was lost with it, once for many words of it', async () => {
  const { done, firewall } = await stage();
  firewall.lost();
  firewall.lost();
  await nextRound();
  assert.deepEqual(done, ['install ssh', 'refill', 'restored']);
});

test('where that is refused it is tried again every second, and told once', async () => {
  const { clock, done, firewall } = await stage();
  firewall.refuses = true;
  firewall.lost();
  for (let second = 0; second < 3; second += 1) {
    await nextRound();
    clock.advance(1000);
  }
  await nextRound();
  assert.deepEqual(done.splice(0), ['warned: the guard was removed and cannot be put back: no such chain']);
  firewall.refuses = false;
  clock.advance(1000);
  await nextRound();
  assert.deepEqual(done, ['install ssh', 'refill', 'restored']);
});

test('another configuration that is refused leaves the one that is put back as it was', async () => {
  const { done, firewall, guard } = await stage();
  firewall.refuses = true;
  await assert.rejects(
    guard.inTurn(() => guard.replace(configOf('web'))),
    (error) => error instanceof Refusal && /^The firewall refused the new .*: no such chain$/.test(error.message),
  );
  const first = guard.face;
  assert.deepEqual(first, { face: 'auto' });
  firewall.refuses = false;
  firewall.lost();
  await nextRound();
  assert.equal(guard.face, first, 'put back as it was made');
  await guard.inTurn(() => guard.replace(configOf('web')));
  assert.deepEqual(guard.face, { face: 'reset' });
  firewall.lost();
  await nextRound();
  assert.deepEqual(
    done.filter((line) => line.startsWith('install')),
    ['install ssh', 'install web', 'install web'],
  );
});

test('a loss waits for its turn, and after the end nothing is put back', async () => {
  const { done, firewall, guard } = await stage();
  const { promise, resolve } = Promise.withResolvers<void>();
  const turn = guard.inTurn(() => promise);
  firewall.lost();
  await nextRound();
  assert.deepEqual(done, []);
  resolve();
  await turn;
  await nextRound();
  assert.deepEqual(done.splice(0), ['install ssh', 'refill', 'restored']);
  await guard.end();
  firewall.lost();
  await nextRound();
  assert.deepEqual(done, ['unwatched']);
});
