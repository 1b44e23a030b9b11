import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  assemble,
  at,
  BPF_MAX_INSTRUCTIONS,
  type BpfLabel,
  type BpfProgram,
  type BpfStatement,
  encodeProgram,
  goto,
  jump,
  OPCODES,
  plain,
  printProgram,
  SKF_AD_OFF,
  SKF_AD_PKTTYPE,
  SKF_AD_PROTOCOL,
} from '../../src/core/bpf.ts';
import { runFilter } from '../../src/core/bpf-machine.ts';

const ETHERNET = { protocol: 0x0800 };

/** Reads what `tcpdump -ddd` prints. */
function programOf(numbers: string): BpfProgram {
  return numbers
    .trim()
    .split('\n')
    .map((line) => {
      const [code = 0, jt = 0, jf = 0, k = 0] = line.trim().split(' ').map(Number);
      return { code, jt, jf, k };
    });
}

/** Runs statements as they are written, label by label: what the assembled program has to agree with. */
function runStatements(statements: readonly BpfStatement[], packet: Uint8Array): number {
  let a = 0;
  let index = 0;
  const go = (to: BpfLabel): number => statements.findIndex((one) => one.type === 'label' && one.label === to);
  for (;;) {
    const statement = statements[index++];
    assert.ok(statement);
    if (statement.type === 'goto') index = go(statement.to);
    if (statement.type === 'plain') {
      if (statement.code === OPCODES.retK) return statement.k;
      if (statement.code === OPCODES.ldbAbs) a = packet[statement.k] ?? assert.fail();
      if (statement.code === OPCODES.addK) a += statement.k;
    }
    if (statement.type === 'jump') {
      const side = a > statement.k ? statement.yes : statement.no;
      if (side) index = go(side);
    }
  }
}

test('a program prints as tcpdump -d prints it', () => {
  // tcpdump 4.99.3, libpcap 1.10.3: ip and tcp port 80 and tcp[tcpflags] & tcp-syn != 0
  const program = programOf(`
    40 0 0 12
    21 0 12 2048
    48 0 0 23
    21 0 10 6
    40 0 0 20
    69 8 0 8191
    177 0 0 14
    72 0 0 14
    21 2 0 80
    72 0 0 16
    21 0 3 80
    80 0 0 27
    69 0 1 2
    6 0 0 262144
    6 0 0 0`);
  assert.equal(
    printProgram(program),
    [
      '(000) ldh      [12]',
      '(001) jeq      #0x800           jt 2\tjf 14',
      '(002) ldb      [23]',
      '(003) jeq      #0x6             jt 4\tjf 14',
      '(004) ldh      [20]',
      '(005) jset     #0x1fff          jt 14\tjf 6',
      '(006) ldxb     4*([14]&0xf)',
      '(007) ldh      [x + 14]',
      '(008) jeq      #0x50            jt 11\tjf 9',
      '(009) ldh      [x + 16]',
      '(010) jeq      #0x50            jt 11\tjf 14',
      '(011) ldb      [x + 27]',
      '(012) jset     #0x2             jt 13\tjf 14',
      '(013) ret      #262144',
      '(014) ret      #0',
      '',
    ].join('\n'),
  );
});

test('the rarer instructions print as tcpdump -d prints them', () => {
  const { ldLen, subK, divK, st, lshK, tax, ldMem, jgtX, neg, ja, ldImm, txa, andX, retA, ldAbs, orK } = OPCODES;
  const codes: [number, number][] = [
    ...([[ldLen], [subK, 4], [divK, 2], [st, 3], [lshK, 4], [tax], [ldMem, 3], [jgtX], [neg], [ja, 1]] as const),
    ...([[ldImm, 5], [txa], [andX], [orK, 16], [ldAbs, SKF_AD_OFF >>> 0], [retA], [0xff, 1]] as const),
  ].map(([code, k]) => [code, k ?? 0]);
  const printed = printProgram(codes.map(([code, k]) => ({ code, jt: 1, jf: 0, k })));
  assert.deepEqual(
    printed.split('\n').map((line) => line.slice(6).trimEnd()),
    [
      'ld       #pktlen',
      'sub      #4',
      'div      #2',
      'st       M[3]',
      'lsh      #4',
      'tax',
      'ld       M[3]',
      'jgt      x                jt 9\tjf 8',
      'neg',
      'ja       11',
      'ld       #0x5',
      'txa',
      'and      x',
      'or       #0x10',
      'ld       [-4096]',
      'ret',
      'unimp    #0xff',
      '',
    ],
  );
});

test('a program is encoded as struct sock_filter in either byte order', () => {
  const program = [
    { code: OPCODES.ldAbs, jt: 0, jf: 0, k: SKF_AD_OFF >>> 0 },
    { code: OPCODES.jeqK, jt: 1, jf: 255, k: 0x0800 },
  ];
  assert.deepEqual(
    encodeProgram(program),
    Uint8Array.of(0x20, 0, 0, 0, 0x00, 0xf0, 0xff, 0xff, 0x15, 0, 1, 255, 0x00, 0x08, 0, 0),
  );
  assert.deepEqual(
    encodeProgram(program, 'big'),
    Uint8Array.of(0, 0x20, 0, 0, 0xff, 0xff, 0xf0, 0x00, 0, 0x15, 1, 255, 0, 0, 0x08, 0x00),
  );
});

test('the opcodes are those of linux/bpf_common.h, put together as they are there', () => {
  const [ld, ldx, st, stx, alu, jmp, ret, misc] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  const [word, half, byte] = [0x00, 0x08, 0x10] as const;
  const [imm, abs, ind, mem, len, msh] = [0x00, 0x20, 0x40, 0x60, 0x80, 0xa0] as const;
  const x = 0x08;
  const arithmetic = ['add', 'sub', 'mul', 'div', 'or', 'and', 'lsh', 'rsh', 'neg', 'mod', 'xor'];
  const jumps = ['jeq', 'jgt', 'jge', 'jset'];
  const expected: Record<string, number> = {
    ldImm: ld | imm,
    ldAbs: ld | abs | word,
    ldhAbs: ld | abs | half,
    ldbAbs: ld | abs | byte,
    ldInd: ld | ind | word,
    ldhInd: ld | ind | half,
    ldbInd: ld | ind | byte,
    ldMem: ld | mem,
    ldLen: ld | len,
    ldxImm: ldx | imm,
    ldxMem: ldx | mem,
    ldxLen: ldx | len,
    ldxMsh: ldx | msh | byte,
    st,
    stx,
    ja: jmp,
    retK: ret,
    retA: ret | 0x10,
    tax: misc,
    txa: misc | 0x80,
    neg: alu | 0x80,
  };
  for (const [index, name] of arithmetic.entries()) {
    if (name === 'neg') continue;
    expected[`${name}K`] = alu | (index << 4);
    expected[`${name}X`] = alu | (index << 4) | x;
  }
  for (const [index, name] of jumps.entries()) {
    expected[`${name}K`] = jmp | ((index + 1) << 4);
    expected[`${name}X`] = jmp | ((index + 1) << 4) | x;
  }
  assert.deepEqual({ ...OPCODES }, expected);
  // linux/filter.h: SKF_AD_OFF, SKF_AD_PROTOCOL, SKF_AD_PKTTYPE; BPF_MAXINSNS
  assert.deepEqual([SKF_AD_OFF, SKF_AD_PROTOCOL, SKF_AD_PKTTYPE, BPF_MAX_INSTRUCTIONS], [-0x1000, 0, 4, 4096]);
});

test('a jump to the next instruction is none, and a program of one instruction is one', () => {
  const next: BpfLabel = Symbol('next');
  const program = assemble([goto(next), at(next), plain(OPCODES.retK, 1)]);
  assert.deepEqual(program, [{ code: OPCODES.retK, jt: 0, jf: 0, k: 1 }]);
  assert.equal(encodeProgram(program).length, 8);
});

test('a program that is empty or too long for the kernel is not encoded', () => {
  const ret = { code: OPCODES.retK, jt: 0, jf: 0, k: 0 };
  assert.throws(() => encodeProgram([]), RangeError);
  assert.equal(encodeProgram(new Array(BPF_MAX_INSTRUCTIONS).fill(ret)).length, 32768);
  assert.throws(() => encodeProgram(new Array(BPF_MAX_INSTRUCTIONS + 1).fill(ret)), RangeError);
});

test('a conditional jump over more than 255 instructions goes by stepping stones', () => {
  for (const distance of [0, 253, 254, 255, 256, 257, 1000]) {
    const far: BpfLabel = Symbol('far');
    const farther: BpfLabel = Symbol('farther');
    const filler = new Array<BpfStatement>(distance).fill(plain(OPCODES.ldImm, 1));
    const program = assemble([
      plain(OPCODES.ldbAbs, 0),
      jump(OPCODES.jeqK, 7, far, farther),
      ...filler,
      at(farther),
      plain(OPCODES.tax),
      plain(OPCODES.retK, 2),
      at(far),
      plain(OPCODES.tax),
      plain(OPCODES.retK, 1),
    ]);
    assert.equal(runFilter(program, Uint8Array.of(7), ETHERNET), 1, `${distance}`);
    assert.equal(runFilter(program, Uint8Array.of(8), ETHERNET), 2, `${distance}`);
  }
});

test('a far return is copied to where the jump can reach it', () => {
  const end: BpfLabel = Symbol('end');
  const filler = new Array<BpfStatement>(300).fill(plain(OPCODES.ldImm, 1));
  const program = assemble([jump(OPCODES.jeqK, 0, end, undefined), ...filler, at(end), plain(OPCODES.retK, 9)]);
  assert.deepEqual(program[0], { code: OPCODES.jeqK, jt: 0, jf: 1, k: 0 });
  assert.deepEqual(program[1], { code: OPCODES.retK, jt: 0, jf: 0, k: 9 });
});

test('assembled jumps reach what the labels say, at any distance', () => {
  const segment = fc.record({
    filler: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 120, max: 300 })),
    jumps: fc.array(fc.record({ yes: fc.nat(), no: fc.nat(), k: fc.nat(255), at: fc.nat(15) }), { maxLength: 6 }),
    returns: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(segment, { minLength: 1, maxLength: 25, size: 'max' }),
      fc.array(fc.uint8Array({ minLength: 16, maxLength: 16 }), { minLength: 5, maxLength: 10 }),
      (segments, packets) => {
        const labels = segments.map((_, index): BpfLabel => Symbol(`segment ${index}`));
        const statements = segments.flatMap(({ filler, jumps, returns }, index): BpfStatement[] => {
          const later = labels.slice(index + 1);
          const pick = (seed: number): BpfLabel | undefined => later[seed % (later.length + 1)];
          return [
            at(labels[index]!),
            ...jumps.flatMap(({ yes, no, k, at: offset }) => [
              plain(OPCODES.ldbAbs, offset),
              jump(OPCODES.jgtK, k, pick(yes), pick(no)),
            ]),
            ...new Array<BpfStatement>(filler).fill(plain(OPCODES.addK, 1)),
            ...(returns || later.length === 0 ? [plain(OPCODES.retK, index + 1)] : [goto(pick(filler) ?? later[0]!)]),
          ];
        });
        const program = assemble(statements);
        for (const { jt, jf } of program) assert.ok(jt <= 255 && jf <= 255);
        for (const packet of packets) {
          assert.equal(runFilter(program, packet, ETHERNET), runStatements(statements, packet));
        }
      },
    ),
  );
});

test('a label that is missing, behind the jump or placed twice is an error', () => {
  const label: BpfLabel = Symbol('loop');
  const ret = plain(OPCODES.retK, 0);
  assert.throws(() => assemble([goto(label), ret]), /"loop" is not behind/);
  assert.throws(() => assemble([at(label), jump(OPCODES.jeqK, 1, label, undefined), ret]), /"loop" is not behind/);
  assert.throws(() => assemble([at(label), ret, at(label), ret]), /"loop" is placed twice/);
});

test('the machine drops at a load outside the packet, whatever its width', () => {
  const packet = new Uint8Array([1, 2, 3, 4, 5]);
  const run = (code: number, k: number): number =>
    runFilter(assemble([plain(code, k), plain(OPCODES.retK, 1)]), packet, ETHERNET);
  assert.equal(run(OPCODES.ldAbs, 1), 1);
  assert.equal(run(OPCODES.ldAbs, 2), 0);
  assert.equal(run(OPCODES.ldhAbs, 4), 0);
  assert.equal(run(OPCODES.ldbAbs, 5), 0);
  assert.equal(run(OPCODES.ldxMsh, 4), 1);
  assert.equal(run(OPCODES.ldxMsh, 5), 0);
  assert.equal(run(OPCODES.ldbInd, 0xffffffff), 0);
});

test('the machine turns the low half of a byte into a header length, and leaves A alone', () => {
  const program = assemble([
    plain(OPCODES.ldImm, 7),
    plain(OPCODES.ldxMsh, 1),
    plain(OPCODES.addX),
    plain(OPCODES.retA),
  ]);
  assert.equal(runFilter(program, Uint8Array.of(0, 0x46), ETHERNET), 7 + 24);
});

test('the machine reads a view of a larger buffer from the beginning of the view', () => {
  const packet = Uint8Array.of(9, 9, 1, 2, 9).subarray(2, 4);
  const program = assemble([plain(OPCODES.ldhAbs, 0), plain(OPCODES.retA)]);
  assert.equal(runFilter(program, packet, ETHERNET), 0x0102);
  assert.equal(runFilter(assemble([plain(OPCODES.ldbAbs, 2), plain(OPCODES.retA)]), packet, ETHERNET), 0);
});

test('the machine calculates modulo 2^32 and drops at a division by zero', () => {
  const run = (a: number, x: number, code: number): number =>
    runFilter(
      assemble([plain(OPCODES.ldxImm, x), plain(OPCODES.ldImm, a), plain(code), plain(OPCODES.retA)]),
      new Uint8Array(0),
      ETHERNET,
    );
  assert.equal(run(0xffffffff, 2, OPCODES.addX), 1);
  assert.equal(run(1, 2, OPCODES.subX), 0xffffffff);
  assert.equal(run(0xffffffff, 0xffffffff, OPCODES.mulX), 1);
  assert.equal(run(0xffffffff, 2, OPCODES.divX), 0x7fffffff);
  assert.equal(run(0xffffffff, 16, OPCODES.modX), 15);
  assert.equal(run(1, 0, OPCODES.divX), 0);
  assert.equal(run(1, 0, OPCODES.modX), 0);
  assert.equal(run(1, 31, OPCODES.lshX), 0x80000000);
  assert.equal(run(0x80000000, 33, OPCODES.rshX), 0x40000000);
  assert.equal(run(1, 0, OPCODES.neg), 0xffffffff);
});

test('the machine knows the ethertype and the packet type, and no other ancillary data', () => {
  const run = (offset: number): number =>
    runFilter(assemble([plain(OPCODES.ldAbs, SKF_AD_OFF + offset), plain(OPCODES.retA)]), new Uint8Array(0), {
      protocol: 0x86dd,
      pktType: 4,
    });
  assert.equal(run(SKF_AD_PROTOCOL), 0x86dd);
  assert.equal(run(SKF_AD_PKTTYPE), 4);
  assert.throws(() => run(8), /not known/);
});

test('the machine refuses what the kernel would not load', () => {
  const run = (code: number, k = 0): number => runFilter([{ code, jt: 0, jf: 0, k }], new Uint8Array(0), ETHERNET);
  assert.throws(() => run(OPCODES.tax), /runs past its end/);
  assert.throws(() => run(OPCODES.ja, 5), /runs past its end/);
  assert.throws(() => run(0xfe), /not valid/);
  assert.throws(() => run(OPCODES.ldMem, 16), /not valid/);
  assert.throws(() => run(OPCODES.stx, 16), /not valid/);
});
