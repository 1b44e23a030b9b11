/**
 *     host eth0 ──── eth1 host        frames are sent raw on eth0 and read, through the filter, on eth1
 *
 * The software machine of core/bpf-machine.ts against the kernel: random programs on a Unix socket (no privilege needed), and
 * capture filters on a packet socket.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BpfInstruction, type BpfProgram, encodeProgram, OPCODES, SKF_AD_OFF } from '../../src/core/bpf.ts';
import { runFilter } from '../../src/core/bpf-machine.ts';
import { bind, close, recv, SystemError, sendto, socket } from '../../src/platform/libc.ts';
import { attachFilter } from '../../src/platform/packet-socket.ts';
import type { KernelReport } from '../support/filter-kernel.ts';
import { createTopology, unavailable } from '../support/netns.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;

/** Opcodes by what their `k` may be. Divisions by k = 0 and shifts by k > 31 are refused, loads of an unwritten cell too. */
const PLAIN = {
  offset: [
    OPCODES.ldAbs,
    OPCODES.ldhAbs,
    OPCODES.ldbAbs,
    OPCODES.ldInd,
    OPCODES.ldhInd,
    OPCODES.ldbInd,
    OPCODES.ldxMsh,
  ],
  cell: [OPCODES.ldMem, OPCODES.ldxMem, OPCODES.st, OPCODES.stx],
  shift: [OPCODES.lshK, OPCODES.rshK],
  nonzero: [OPCODES.divK, OPCODES.modK],
  any: [
    ...[OPCODES.ldImm, OPCODES.ldxImm, OPCODES.ldxImm, OPCODES.addK, OPCODES.subK, OPCODES.mulK],
    ...[OPCODES.andK, OPCODES.orK, OPCODES.xorK],
  ],
  none: [
    ...[OPCODES.ldLen, OPCODES.ldxLen, OPCODES.tax, OPCODES.txa, OPCODES.neg, OPCODES.addX, OPCODES.subX, OPCODES.mulX],
    ...[OPCODES.divX, OPCODES.modX, OPCODES.andX, OPCODES.orX, OPCODES.xorX, OPCODES.lshX, OPCODES.rshX],
  ],
} as const;
const JUMPS = [
  ...[OPCODES.jeqK, OPCODES.jgtK, OPCODES.jgeK, OPCODES.jsetK],
  ...[OPCODES.jeqX, OPCODES.jgtX, OPCODES.jgeX, OPCODES.jsetX],
];
const CELLS = 4;

const anyWord = fc.oneof(
  fc.nat(40),
  fc.constantFrom(0x7f, 0xff, 0x100, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff),
  fc.integer({ min: 0, max: 0xffffffff }),
);

const statement: fc.Arbitrary<BpfInstruction> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.oneof(
      instruction(PLAIN.offset, fc.nat(24)),
      instruction(PLAIN.cell, fc.nat(CELLS - 1)),
      instruction(PLAIN.shift, fc.nat(31)),
      instruction(
        PLAIN.nonzero,
        anyWord.map((k) => k || 1),
      ),
      instruction(PLAIN.any, anyWord),
      instruction(PLAIN.none, fc.constant(0)),
      instruction([OPCODES.ldAbs], fc.constantFrom(SKF_AD_OFF >>> 0, (SKF_AD_OFF + 4) >>> 0)),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({ code: fc.constantFrom(...JUMPS), jt: fc.nat(255), jf: fc.nat(255), k: anyWord }),
  },
  { weight: 1, arbitrary: instruction([OPCODES.ja], fc.nat(10)) },
  { weight: 1, arbitrary: instruction([OPCODES.retK, OPCODES.retA], fc.nat(30)) },
);

function instruction(codes: readonly number[], k: fc.Arbitrary<number>): fc.Arbitrary<BpfInstruction> {
  return fc.record({ code: fc.constantFrom(...codes), jt: fc.constant(0), jf: fc.constant(0), k });
}

/** Programs that the kernel takes: every cell is written first, every jump ends inside, the last instruction returns. */
const programs: fc.Arbitrary<BpfProgram> = fc
  .array(statement, { minLength: 1, maxLength: 40, size: 'max' })
  .map((body) => {
    const cells = Array.from({ length: CELLS }, (_, cell) => ({ code: OPCODES.st, jt: 0, jf: 0, k: cell }));
    const inside = body.map((each, index) => {
      const left = body.length - index;
      const near = each.code === OPCODES.ja ? { k: each.k % left } : {};
      return { ...each, jt: each.jt % left, jf: each.jf % left, ...near };
    });
    // What shows is a length of 0 to 40, so let every bit of A and X count in it.
    const end = [
      { code: OPCODES.xorX, jt: 0, jf: 0, k: 0 },
      { code: OPCODES.modK, jt: 0, jf: 0, k: 41 },
      { code: OPCODES.retA, jt: 0, jf: 0, k: 0 },
    ];
    return [...cells, ...inside, ...end];
  });

/** The length of what waits on the socket; 0 when nothing does. */
function received(fd: number): number {
  try {
    return recv(fd, new Uint8Array(256), MSG_DONTWAIT);
  } catch (error) {
    if (error instanceof SystemError && error.errno === EAGAIN) return 0;
    throw error;
  }
}

const onLinux = process.platform === 'linux' ? false : 'needs Linux';

test('the machine and the kernel agree on random programs', { skip: onLinux }, () => {
  const name = Buffer.from(`\x01\0\0postern-bpf-${process.pid}`, 'latin1');
  const receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
  const sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  const seen = { passed: 0, dropped: 0 };
  try {
    bind(receiver, name);
    const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), {
      minLength: 5,
      maxLength: 10,
      size: 'max',
    });
    fc.assert(
      fc.property(programs, packets, (program, batch) => {
        attachFilter(receiver, encodeProgram(program));
        for (const packet of batch) {
          sendto(sender, packet, 0, name);
          const expected = Math.min(runFilter(program, packet, { protocol: 0 }), packet.length);
          seen[expected > 0 ? 'passed' : 'dropped']++;
          assert.equal(received(receiver), expected);
        }
      }),
      { numRuns: 2000 },
    );
  } finally {
    close(sender);
    close(receiver);
  }
  assert.ok(seen.passed > 1000 && seen.dropped > 1000, JSON.stringify(seen));
});

test('the machine and the kernel agree on capture filters and hostile packets', { skip: unavailable() }, async () => {
  await using topology = await createTopology({ links: [['host', 'host']] });
  const worker = join(import.meta.dirname, '../support/filter-kernel.ts');
  const seed = (Math.random() * 0x7fffffff) | 0;
  const { host } = topology.hosts;
  const ended = await host.exec([process.execPath, worker, 'eth0', 'eth1', `${seed}`, '60', '1000'], {
    timeout: 60_000,
  });
  const report: KernelReport = JSON.parse(ended.stdout);
  assert.deepEqual(report.wrong, [], `seed ${seed}`);
  assert.equal(report.sent, 60_000);
  assert.ok(report.longest > 300, `longest filter ${report.longest}`);
  assert.ok(report.passed > 3000 && report.passed < 40_000, `${report.passed} of ${report.sent} passed`);
});
