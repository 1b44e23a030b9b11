/** Every instruction of the machine by itself, on both sides of what it decides. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BpfProgram, OPCODES, SKF_AD_OFF, SKF_AD_PKTTYPE } from '../../src/core/bpf.ts';
import { runFilter } from '../../src/core/bpf-machine.ts';

type Line = readonly [code: number, k: number, jt?: number, jf?: number];

const PACKET = Uint8Array.of(0x45, 0x67, 0x89, 0xab, 0xcd);

function run(lines: readonly Line[], packet = PACKET): number {
  const program: BpfProgram = lines.map(([code, k, jt = 0, jf = 0]) => ({ code, k, jt, jf }));
  return runFilter(program, packet, { protocol: 0x0800 });
}

const { ldImm, ldxImm, retA, retK, tax, txa, st, stx, ldMem, ldxMem } = OPCODES;

/** 1 when the jump goes to its first side. */
const jumps = (code: number, a: number, x: number, k: number): number =>
  run([
    [ldImm, a],
    [ldxImm, x],
    [code, k, 0, 1],
    [retK, 1],
    [retK, 2],
  ]);

test('Jumps compare A with K or with X', () => {
  const holds: readonly (readonly [number, number, (a: number, b: number) => boolean])[] = [
    [OPCODES.jeqK, OPCODES.jeqX, (a, b) => a === b],
    [OPCODES.jgtK, OPCODES.jgtX, (a, b) => a > b],
    [OPCODES.jgeK, OPCODES.jgeX, (a, b) => a >= b],
    [OPCODES.jsetK, OPCODES.jsetX, (a, b) => (a & b) !== 0],
  ];
  for (const [withK, withX, expected] of holds) {
    for (const a of [0, 1, 5, 6, 7, 0x8000_0000, 0xffff_ffff]) {
      for (const b of [0, 1, 6, 0x8000_0000, 0xffff_ffff]) {
        const answer = expected(a, b) ? 1 : 2;
        assert.equal(jumps(withK, a, 99, b), answer, `${a} ${withK.toString(16)} ${b}`);
        assert.equal(jumps(withX, a, b, 99), answer, `${a} ${withX.toString(16)} ${b}`);
      }
    }
  }
  assert.equal(
    run([
      [OPCODES.ja, 1],
      [retK, 1],
      [retK, 2],
    ]),
    2,
  );
});

test('The length of the packet comes into A or X', () => {
  assert.equal(
    run([
      [OPCODES.ldLen, 0],
      [retA, 0],
    ]),
    5,
  );
  assert.equal(
    run([
      [OPCODES.ldxLen, 0],
      [txa, 0],
      [retA, 0],
    ]),
    5,
  );
});

test('A, X and all sixteen words of memory begin at 0 and keep what is stored', () => {
  assert.equal(run([[retA, 0]]), 0);
  assert.equal(
    run([
      [ldImm, 7],
      [txa, 0],
      [retA, 0],
    ]),
    0,
  );
  assert.equal(
    run([
      [ldImm, 7],
      [tax, 0],
      [ldImm, 1],
      [txa, 0],
      [retA, 0],
    ]),
    7,
  );
  for (let word = 0; word < 16; word += 1) {
    assert.equal(
      run([
        [ldImm, 9],
        [ldMem, word],
        [retA, 0],
      ]),
      0,
    );
    assert.equal(
      run([
        [ldImm, 9],
        [st, word],
        [ldImm, 1],
        [ldMem, word],
        [retA, 0],
      ]),
      9,
    );
    assert.equal(
      run([
        [ldxImm, 9],
        [stx, word],
        [ldxImm, 1],
        [ldxMem, word],
        [txa, 0],
        [retA, 0],
      ]),
      9,
    );
  }
  for (const code of [st, stx, ldMem, ldxMem])
    assert.throws(
      () =>
        run([
          [code, 16],
          [retK, 1],
        ]),
      /is not valid/,
    );
});

test('Loads are big-endian, of one, two or four bytes, up to the last and no further', () => {
  for (const [absolute, indirect, values] of [
    [OPCODES.ldbAbs, OPCODES.ldbInd, [0x45, 0x67, 0x89, 0xab, 0xcd]],
    [OPCODES.ldhAbs, OPCODES.ldhInd, [0x4567, 0x6789, 0x89ab, 0xabcd]],
    [OPCODES.ldAbs, OPCODES.ldInd, [0x4567_89ab, 0x6789_abcd]],
  ] as const) {
    for (let at = 0; at < 7; at += 1) {
      const expected = values[at] ?? 0;
      assert.equal(
        run([
          [absolute, at],
          [retA, 0],
        ]),
        expected,
      );
      assert.equal(
        run([
          [ldxImm, 2],
          [indirect, at - 2],
          [retA, 0],
        ]),
        expected,
        `${at}`,
      );
    }
    assert.equal(
      run([
        [ldImm, 1],
        [ldxImm, 0xffff_ffff],
        [indirect, 0],
        [retA, 0],
      ]),
      0,
      'before the packet',
    );
    assert.equal(
      run([
        [ldImm, 1],
        [absolute, 0x7fff_ffff],
        [retA, 0],
      ]),
      0,
      'the last offset that is none of the ancillary',
    );
  }
  for (let at = 0; at < 6; at += 1) {
    assert.equal(
      run([
        [OPCODES.ldxMsh, at],
        [txa, 0],
        [retA, 0],
      ]),
      ((PACKET[at] ?? 0) & 0xf) << 2,
    );
  }
});

test('Arithmetic is modulo 2^32, with K or with X', () => {
  const cases: readonly (readonly [number, (a: bigint, b: bigint) => bigint])[] = [
    [OPCODES.addK, (a, b) => a + b],
    [OPCODES.subK, (a, b) => a - b],
    [OPCODES.mulK, (a, b) => a * b],
    [OPCODES.divK, (a, b) => (b === 0n ? 0n : a / b)],
    [OPCODES.modK, (a, b) => (b === 0n ? 0n : a % b)],
    [OPCODES.andK, (a, b) => a & b],
    [OPCODES.orK, (a, b) => a | b],
    [OPCODES.xorK, (a, b) => a ^ b],
    [OPCODES.lshK, (a, b) => a << (b & 31n)],
    [OPCODES.rshK, (a, b) => a >> (b & 31n)],
  ];
  for (const [code, expected] of cases) {
    for (const a of [0, 1, 7, 0x8000_0001, 0xffff_ffff]) {
      for (const b of [0, 1, 3, 31, 0x8000_0000, 0xffff_ffff]) {
        const answer = Number(BigInt.asUintN(32, expected(BigInt(a), BigInt(b))));
        assert.equal(
          run([
            [ldImm, a],
            [code, b],
            [retA, 0],
          ]),
          answer,
          `${a} ${code.toString(16)} ${b}`,
        );
        assert.equal(
          run([
            [ldImm, a],
            [ldxImm, b],
            [code | 0x08, 99],
            [retA, 0],
          ]),
          answer,
        );
      }
    }
  }
  for (const a of [0, 1, 0xffff_ffff]) {
    assert.equal(
      run([
        [ldImm, a],
        [OPCODES.neg, 0],
        [retA, 0],
      ]),
      Number(BigInt.asUintN(32, -BigInt(a))),
    );
  }
});

test('A packet is for this host where nothing else is said', () => {
  const program = [
    [OPCODES.ldAbs, (SKF_AD_OFF + SKF_AD_PKTTYPE) >>> 0],
    [retA, 0],
  ] as const;
  assert.equal(run(program), 0);
});

test('A program that runs past its end is none', () => {
  assert.throws(() => run([[ldImm, 1]]), /runs past its end at 1$/);
});
