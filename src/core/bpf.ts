/**
 * Classic BPF, the language of socket filters (McCanne & Jacobson, "The BSD Packet Filter", 1993; Linux: filter.rst):
 * instructions, an assembler with labels, the kernel's encoding, and the text of `tcpdump -d`.
 *
 * A program only jumps forward. A conditional jump reaches 255 instructions, so the assembler works from the end to the start,
 * where every target is already placed, and puts a stepping stone (a `ja`, or a copy of the `ret` it would lead to) right behind
 * a jump that is too far from its target. Accumulator A, index X and the constant k are unsigned 32-bit values.
 */

/** The most instructions Linux takes (BPF_MAXINSNS). */
export const BPF_MAX_INSTRUCTIONS = 4096;

/** Every whole opcode, by what it does: `K` and `X` name the operand, `abs` is `[k]`, `ind` is `[x + k]`. */
export const OPCODES = {
  ldImm: 0x00,
  ldAbs: 0x20,
  ldhAbs: 0x28,
  ldbAbs: 0x30,
  ldInd: 0x40,
  ldhInd: 0x48,
  ldbInd: 0x50,
  ldMem: 0x60,
  ldLen: 0x80,
  ldxImm: 0x01,
  ldxMem: 0x61,
  ldxLen: 0x81,
  ldxMsh: 0xb1,
  st: 0x02,
  stx: 0x03,
  addK: 0x04,
  subK: 0x14,
  mulK: 0x24,
  divK: 0x34,
  orK: 0x44,
  andK: 0x54,
  lshK: 0x64,
  rshK: 0x74,
  neg: 0x84,
  modK: 0x94,
  xorK: 0xa4,
  addX: 0x0c,
  subX: 0x1c,
  mulX: 0x2c,
  divX: 0x3c,
  orX: 0x4c,
  andX: 0x5c,
  lshX: 0x6c,
  rshX: 0x7c,
  modX: 0x9c,
  xorX: 0xac,
  ja: 0x05,
  jeqK: 0x15,
  jgtK: 0x25,
  jgeK: 0x35,
  jsetK: 0x45,
  jeqX: 0x1d,
  jgtX: 0x2d,
  jgeX: 0x3d,
  jsetX: 0x4d,
  retK: 0x06,
  retA: 0x16,
  tax: 0x07,
  txa: 0x87,
} as const;

/** Where Linux keeps what is not in the packet's bytes: load `[SKF_AD_OFF + SKF_AD_…]` with an `abs` opcode. */
export const SKF_AD_OFF = -0x1000;
/** The ethertype of the packet. */
export const SKF_AD_PROTOCOL = 0;
/** To whom the packet went: PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3, OUTGOING 4. */
export const SKF_AD_PKTTYPE = 4;

/** One instruction (struct sock_filter). `jt` and `jf` count the instructions a jump skips; `k` is unsigned. */
export interface BpfInstruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

export type BpfProgram = readonly BpfInstruction[];

/** A place in a program to jump to: any fresh symbol. */
export type BpfLabel = symbol;

/** A line for the assembler. */
export type BpfStatement =
  | { readonly type: 'label'; readonly label: BpfLabel }
  | { readonly type: 'plain'; readonly code: number; readonly k: number }
  | { readonly type: 'goto'; readonly to: BpfLabel }
  | {
      readonly type: 'jump';
      readonly code: number;
      readonly k: number;
      readonly yes: BpfLabel | undefined;
      readonly no: BpfLabel | undefined;
    };

/** Marks the place of a label: the next instruction. */
export function at(label: BpfLabel): BpfStatement {
  return { type: 'label', label };
}

/** An instruction that does not jump. */
export function plain(code: number, k = 0): BpfStatement {
  return { type: 'plain', code, k };
}

/** An unconditional jump. */
export function goto(to: BpfLabel): BpfStatement {
  return { type: 'goto', to };
}

/** A conditional jump; a side without a label goes on with the next statement. */
export function jump(code: number, k: number, yes: BpfLabel | undefined, no: BpfLabel | undefined): BpfStatement {
  return { type: 'jump', code, k, yes, no };
}

/**
 * Turns statements into instructions. The length is not checked here: see `BPF_MAX_INSTRUCTIONS`.
 * @throws {Error} for a label that is placed twice, or not behind every jump to it.
 */
export function assemble(statements: readonly BpfStatement[]): BpfProgram {
  /** The program from its last instruction to its first, so that an index never moves. */
  const reversed: BpfInstruction[] = [];
  const places = new Map<BpfLabel, number>();
  const stones = new Map<BpfLabel, number>();

  const placeOf = (label: BpfLabel): number => {
    const place = places.get(label);
    if (place === undefined) throw new Error(`BPF label "${label.description}" is not behind the jump to it`);
    return place;
  };
  const skipTo = (place: number): number => reversed.length - 1 - place;
  const stoneTo = (label: BpfLabel): void => {
    const target = reversed[placeOf(label)];
    const returns = target?.code === OPCODES.retK || target?.code === OPCODES.retA;
    const skip = skipTo(placeOf(label));
    reversed.push(target && returns ? target : { code: OPCODES.ja, jt: 0, jf: 0, k: skip });
    stones.set(label, reversed.length - 1);
  };
  /** Instructions to skip to the label or, when that is out of reach, to a stepping stone; over 255 when there is none. */
  const reach = (label: BpfLabel): number => {
    const skip = skipTo(placeOf(label));
    const stone = stones.get(label);
    return skip <= 255 || stone === undefined ? skip : skipTo(stone);
  };

  for (const statement of [...statements].reverse()) {
    switch (statement.type) {
      case 'label':
        if (places.has(statement.label)) throw new Error(`BPF label "${statement.label.description}" is placed twice`);
        places.set(statement.label, reversed.length - 1);
        break;
      case 'plain':
        reversed.push({ code: statement.code, jt: 0, jf: 0, k: statement.k >>> 0 });
        break;
      case 'goto': {
        const skip = skipTo(placeOf(statement.to));
        if (skip > 0) reversed.push({ code: OPCODES.ja, jt: 0, jf: 0, k: skip });
        break;
      }
      case 'jump': {
        const next = reversed.length - 1;
        const reachSide = (side: BpfLabel | undefined): number => (side ? reach(side) : skipTo(next));
        // A stone for one side moves the other side one further away, so look again at both: two rounds at most.
        for (;;) {
          const far = [statement.yes, statement.no].find((side) => side !== undefined && reach(side) > 255);
          if (far === undefined) break;
          stoneTo(far);
        }
        const { code, k } = statement;
        reversed.push({ code, jt: reachSide(statement.yes), jf: reachSide(statement.no), k: k >>> 0 });
        break;
      }
    }
  }
  return reversed.reverse();
}

/**
 * Encodes a program as the kernel's `struct sock_filter[]`, 8 bytes an instruction.
 * @throws {RangeError} for a program that is empty or longer than the kernel takes.
 */
export function encodeProgram(program: BpfProgram, endianness: 'little' | 'big' = 'little'): Uint8Array {
  if (program.length < 1 || program.length > BPF_MAX_INSTRUCTIONS) {
    throw new RangeError(`BPF program must have 1-${BPF_MAX_INSTRUCTIONS} instructions, not ${program.length}`);
  }
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  const little = endianness === 'little';
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    view.setUint16(index * 8, code, little);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, little);
  }
  return bytes;
}

const NAMES = new Map<number, string>(Object.entries(OPCODES).map(([name, code]) => [code, name]));

/** Prints a program as `tcpdump -d` does, one instruction a line. */
export function printProgram(program: BpfProgram): string {
  return program.map((instruction, index) => `${printInstruction(instruction, index)}\n`).join('');
}

function printInstruction({ code, jt, jf, k }: BpfInstruction, index: number): string {
  const number = `(${String(index).padStart(3, '0')})`;
  const name = NAMES.get(code);
  if (name === undefined) return `${number} unimp    ${hex(code)}`;
  const mnemonic = (name === 'ldxMsh' ? 'ldxb' : name.replace(/[A-Z].*/, '')).padEnd(8);
  if (name.startsWith('j') && name !== 'ja') {
    const operand = (name.endsWith('X') ? 'x' : hex(k)).padEnd(16);
    return `${number} ${mnemonic} ${operand} jt ${index + 1 + jt}\tjf ${index + 1 + jf}`;
  }
  return `${number} ${mnemonic} ${printOperand(name, k, index)}`;
}

function printOperand(name: string, k: number, index: number): string {
  if (name === 'ja') return String(index + 1 + k);
  if (name === 'ldxMsh') return `4*([${k}]&0xf)`;
  if (name === 'st' || name === 'stx' || name.endsWith('Mem')) return `M[${k}]`;
  if (name.endsWith('Imm') || /^(and|or|xor)K$/.test(name)) return hex(k);
  if (name.endsWith('Len')) return '#pktlen';
  if (name.endsWith('Abs')) return `[${k | 0}]`;
  if (name.endsWith('Ind')) return `[x + ${k | 0}]`;
  if (name.endsWith('X')) return 'x';
  return name.endsWith('K') ? `#${k}` : '';
}

function hex(value: number): string {
  return `#0x${value.toString(16)}`;
}
