/**
 * What a packet costs the knock engine, by how many attempts are alive, and what a million of them weigh.
 * Run: `node --expose-gc bench/engine.ts` (`--json` for programs; engine-cost.ts does).
 */

import { type Address, ipv4 } from '../src/core/address.ts';
import { type Door, SYN } from '../src/core/door.ts';
import { Engine } from '../src/core/engine.ts';

const LOCAL: Address = ipv4(0xc0000201);
const PACKETS = 20_000;
const ROUNDS = 5;

const door: Door = {
  name: 'A',
  steps: [7000, 8000, 9000].map((port) => ({ protocol: 'tcp', port })),
  window: 1e9,
  strays: 2,
  tcpFlags: { set: SYN, clear: 0 },
};

function syn(source: Address, destinationPort: number, sequence: number) {
  return {
    source,
    destination: LOCAL,
    protocol: 'tcp' as const,
    sourcePort: 40_000,
    destinationPort,
    flags: SYN,
    sequence,
    length: 40,
  };
}

/** Every word once, in an order that no cache foresees. */
function shuffled(index: number): number {
  return Math.imul(index, 0x9e3779b1) | 0;
}

/** Sends `source(0)`, `source(1)`, … to one port, in one packet object that is written over, so that only the engine is measured. */
function nanoseconds(engine: Engine, port: number, source: (index: number) => number): number {
  const packet = { ...syn({ ...ipv4(0) }, port, 0) };
  const from = packet.source as { d: number };
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const begin = performance.now();
    for (let index = round * PACKETS; index < (round + 1) * PACKETS; index += 1) {
      from.d = source(index);
      packet.sequence = index;
      engine.packet(packet, 1);
    }
    best = Math.min(best, ((performance.now() - begin) * 1e6) / PACKETS);
  }
  return best;
}

function residentMegabytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss / 2 ** 20;
}

/** What a packet costs with so many attempts alive, in nanoseconds, and what they weigh. */
export interface EngineCost {
  readonly live: number;
  readonly unknown: number;
  readonly first: number;
  readonly stray: number;
  readonly megabytes: number;
}

function measure(live: number): EngineCost {
  const before = residentMegabytes();
  const engine = new Engine([door], { seed: [0x12345678, 0x9abcdef0], perPrefix: 2 ** 20 });
  engine.setLocalAddresses([LOCAL]);
  for (let index = 1; index <= live; index += 1) engine.packet(syn(ipv4(shuffled(index)), 7000, index), 0);
  const megabytes = residentMegabytes() - before;
  const unknown = nanoseconds(engine, 5000, (index) => shuffled(0x4000_0000 + index));
  const stray = nanoseconds(engine, 6000, (index) =>
    shuffled(1 + ((Math.imul(index, 7919) >>> 0) % Math.max(live, 1))),
  );
  const first = nanoseconds(engine, 7000, (index) => shuffled(0x2000_0000 + index));
  return { live, unknown, first, stray, megabytes };
}

const costs = [1000, 20_000, 100_000, 1_000_000].map(measure);
if (process.argv.includes('--json')) console.log(JSON.stringify(costs));
else {
  console.log('live attempts | unknown source, no first step | new first step | stray on an attempt | memory');
  for (const { live, unknown, first, stray, megabytes } of costs) {
    const times = [unknown, first, stray].map((ns) => `${ns.toFixed(0)} ns`);
    console.log([live, ...times, `${megabytes.toFixed(0)} MB`].join(' | '));
  }
}
