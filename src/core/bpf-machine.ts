/**
 * Runs classic BPF programs as Linux runs a socket filter, so that a replay from a file sees exactly what live capture sees.
 *
 * The kernel's rules: a load outside the packet and a division by zero end the program with 0 (drop); A, X and the scratch
 * memory start at 0; arithmetic is modulo 2^32; a shift takes the low 5 bits of X. Of the ancillary data behind SKF_AD_OFF only
 * the ethertype and the packet type are known. A program the kernel would refuse throws: programs are our own.
 */

import { type BpfProgram, OPCODES, SKF_AD_OFF, SKF_AD_PKTTYPE, SKF_AD_PROTOCOL } from './bpf.ts';

/** What the kernel knows of a packet beside its bytes. */
export interface Ancillary {
  /** The ethertype, e.g. 0x0800. */
  readonly protocol: number;
  /** As in sockaddr_ll; PACKET_HOST (0) by default. */
  readonly pktType?: number;
}

/**
 * The program's verdict on a packet: how many of its bytes to keep, 0 to drop it.
 * `packet` begins where the socket's filter begins: at the network header for AF_PACKET with SOCK_DGRAM.
 */
export function runFilter(program: BpfProgram, packet: Uint8Array, ancillary: Ancillary): number {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const memory = new Uint32Array(16);
  let a = 0;
  let x = 0;
  let pc = 0;
  for (;;) {
    const instruction = program[pc];
    if (instruction === undefined) throw new Error(`BPF program runs past its end at ${pc}`);
    const { code, jt, jf, k } = instruction;
    pc++;
    switch (code) {
      case OPCODES.ldAbs:
      case OPCODES.ldhAbs:
      case OPCODES.ldbAbs: {
        const value = k > 0x7fffffff ? loadAncillary(k | 0, ancillary) : load(view, k, widthOf(code));
        if (value === undefined) return 0;
        a = value;
        break;
      }
      case OPCODES.ldInd:
      case OPCODES.ldhInd:
      case OPCODES.ldbInd: {
        const value = load(view, (x + k) | 0, widthOf(code));
        if (value === undefined) return 0;
        a = value;
        break;
      }
      case OPCODES.ldxMsh: {
        const value = load(view, k | 0, 1);
        if (value === undefined) return 0;
        x = (value & 0xf) << 2;
        break;
      }
      case OPCODES.ldImm:
        a = k;
        break;
      case OPCODES.ldMem:
        a = memory[k] ?? refuse(code, k);
        break;
      case OPCODES.ldLen:
        a = packet.length;
        break;
      case OPCODES.ldxImm:
        x = k;
        break;
      case OPCODES.ldxMem:
        x = memory[k] ?? refuse(code, k);
        break;
      case OPCODES.ldxLen:
        x = packet.length;
        break;
      case OPCODES.st:
        memory[k < 16 ? k : refuse(code, k)] = a;
        break;
      case OPCODES.stx:
        memory[k < 16 ? k : refuse(code, k)] = x;
        break;
      case OPCODES.tax:
        x = a;
        break;
      case OPCODES.txa:
        a = x;
        break;
      case OPCODES.neg:
        a = -a >>> 0;
        break;
      case OPCODES.ja:
        pc += k;
        break;
      case OPCODES.jeqK:
        pc += a === k ? jt : jf;
        break;
      case OPCODES.jgtK:
        pc += a > k ? jt : jf;
        break;
      case OPCODES.jgeK:
        pc += a >= k ? jt : jf;
        break;
      case OPCODES.jsetK:
        pc += (a & k) !== 0 ? jt : jf;
        break;
      case OPCODES.jeqX:
        pc += a === x ? jt : jf;
        break;
      case OPCODES.jgtX:
        pc += a > x ? jt : jf;
        break;
      case OPCODES.jgeX:
        pc += a >= x ? jt : jf;
        break;
      case OPCODES.jsetX:
        pc += (a & x) !== 0 ? jt : jf;
        break;
      case OPCODES.retK:
        return k;
      case OPCODES.retA:
        return a;
      default: {
        const fromX = (code & 0x08) !== 0;
        const value = calculate(fromX ? code & ~0x08 : code, a, fromX ? x : k);
        if (value === undefined) return 0;
        a = value >>> 0;
      }
    }
  }
}

/** The arithmetic opcodes in their `K` form; undefined for a division by zero. */
function calculate(code: number, a: number, operand: number): number | undefined {
  switch (code) {
    case OPCODES.addK:
      return a + operand;
    case OPCODES.subK:
      return a - operand;
    case OPCODES.mulK:
      return Math.imul(a, operand);
    case OPCODES.divK:
      return operand === 0 ? undefined : Math.floor(a / operand);
    case OPCODES.modK:
      return operand === 0 ? undefined : a % operand;
    case OPCODES.andK:
      return a & operand;
    case OPCODES.orK:
      return a | operand;
    case OPCODES.xorK:
      return a ^ operand;
    case OPCODES.lshK:
      return a << (operand & 31);
    case OPCODES.rshK:
      return a >>> (operand & 31);
    default:
      return refuse(code, operand);
  }
}

function widthOf(code: number): 1 | 2 | 4 {
  if ((code & 0x18) === 0x10) return 1;
  return (code & 0x18) === 0x08 ? 2 : 4;
}

/** A big-endian load; undefined when any byte of it is outside the packet. */
function load(view: DataView, offset: number, width: 1 | 2 | 4): number | undefined {
  if (offset < 0 || offset + width > view.byteLength) return undefined;
  if (width === 1) return view.getUint8(offset);
  return width === 2 ? view.getUint16(offset) : view.getUint32(offset);
}

function loadAncillary(offset: number, ancillary: Ancillary): number {
  if (offset === SKF_AD_OFF + SKF_AD_PROTOCOL) return ancillary.protocol;
  if (offset === SKF_AD_OFF + SKF_AD_PKTTYPE) return ancillary.pktType ?? 0;
  throw new Error(`BPF ancillary load at ${offset} is not known`);
}

function refuse(code: number, k: number): never {
  throw new Error(`BPF instruction 0x${code.toString(16)} with k=${k} is not valid`);
}
