/**
 * Run inside a namespace: a firewall driver that does what it is told, a JSON line each (program.ts). Tells of its own accord
 * `{"lost":true}` when the guard was lost, and `{"warning":TEXT}`.
 */

import { createInterface } from 'node:readline';
import type { Address } from '../../src/core/address.ts';
import type { DoorPolicy } from '../../src/core/policy.ts';
import { openCommand } from '../../src/firewall/command.ts';
import type { Face, FirewallDriver, Grant, Guard, TimedSource } from '../../src/firewall/driver.ts';
import { resolveFace } from '../../src/firewall/drivers.ts';
import { openIptables } from '../../src/firewall/iptables.ts';
import { openNftables } from '../../src/firewall/nftables.ts';
import { preflight } from '../../src/firewall/preflight.ts';
import { probeAnswers } from '../../src/firewall/unused-ports.ts';

/** What the program obeys: a driver's operations, and the median time of single opens, in microseconds. */
export type FirewallOrder =
  | { readonly do: 'install'; readonly guard: Guard }
  | { readonly do: 'open'; readonly grant: Grant }
  | { readonly do: 'close'; readonly door: string; readonly source: Address }
  | { readonly do: 'ban' | 'allow'; readonly timed: TimedSource }
  | { readonly do: 'unban' | 'disallow'; readonly source: Address }
  | { readonly do: 'list' | 'remove' | 'watch' | 'stop' | 'probe' }
  | { readonly do: 'face'; readonly face: Face }
  | { readonly do: 'preflight'; readonly doors: readonly DoorPolicy[]; readonly face?: Face }
  | { readonly do: 'fill'; readonly door: string; readonly from: number; readonly to: number }
  | { readonly do: 'time'; readonly door: string; readonly count: number };

const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const warn = (warning: string): void => say({ warning });

const DRIVERS: Readonly<Record<string, () => FirewallDriver>> = {
  nftables: () => openNftables({ warn }),
  iptables: () => openIptables({ warn }),
  'iptables-legacy': () => openIptables({ backend: 'legacy', warn }),
  'iptables-nft': () => openIptables({ backend: 'nft', warn }),
  command: () => openCommand({ command: [process.env.POSTERN_TEST_COMMAND ?? '/nonexistent'], warn }),
};

const open = DRIVERS[process.argv[2] ?? ''];
if (open === undefined) throw new Error(`No driver "${process.argv[2]}"`);
const driver = open();

const address = (number: number): Address => ({ a: 0, b: 0, c: 0xffff, d: (0x0b00_0000 + number) | 0 });

async function obey(order: FirewallOrder): Promise<unknown> {
  switch (order.do) {
    case 'install':
      return driver.install(order.guard);
    case 'open':
      return driver.open(order.grant);
    case 'close':
      return driver.close(order.door, order.source);
    case 'ban':
      return driver.ban(order.timed);
    case 'unban':
      return driver.unban(order.source);
    case 'allow':
      return driver.allow(order.timed);
    case 'disallow':
      return driver.disallow(order.source);
    case 'list':
      return driver.list();
    case 'remove':
      return driver.remove();
    case 'watch':
      driver.watch(() => say({ lost: true }));
      return;
    case 'stop':
      return driver.stop();
    case 'probe':
      return probeAnswers();
    case 'face':
      return resolveFace(order.face);
    case 'preflight':
      return preflight(order.doors, order.face);
    case 'fill': {
      for (let index = order.from; index < order.to; index += 1) {
        await driver.open({ door: order.door, source: address(index), remaining: 3_600_000, comment: 'user=fill' });
      }
      return;
    }
    case 'time': {
      const times: number[] = [];
      for (let index = 0; index < order.count; index += 1) {
        const started = performance.now();
        await driver.open({ door: order.door, source: address(-1 - index), remaining: 60_000, comment: 'user=alice' });
        times.push((performance.now() - started) * 1000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      times.sort((x, y) => x - y);
      return { median: times[times.length >> 1], p95: times[Math.floor(times.length * 0.95)] };
    }
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { id, order } = JSON.parse(line) as { id: number; order: FirewallOrder };
  obey(order).then(
    (answer) => say({ id, answer: answer ?? null }),
    (error: Error) => say({ id, error: error.message, name: error.name }),
  );
});
lines.on('close', () => process.exit(0));
