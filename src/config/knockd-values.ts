/**
 * The values of knockd.conf with knockd's own arithmetic: `atoi` with its 64-bit saturation and 32-bit cut, sequences, and
 * TCP flags. Nothing is judged here but what stops knockd; what it swallows is judged in `knockd-value-lint.ts`.
 * All text is a byte string (`knockd-lines.ts`).
 */

import { ACK, FIN, type Protocol, PSH, RST, type Step, SYN, type TcpFlags, URG } from '../core/door.ts';
import { trimSpace, upperCase } from './knockd-lines.ts';

export const MAX_STEPS = 32;

const LONG_MAX = 2n ** 63n - 1n;
const LONG_MIN = -(2n ** 63n);

/** glibc's `atoi`: `strtol` saturates at 64 bits, and the low 32 of them are the result; no digits are 0. */
export function atoi(text: string): number {
  const [, sign, digits] = /^[ \t-\r]*([+-]?)0*([0-9]*)/.exec(text) ?? [];
  if (!digits) return 0;
  const huge = digits.length > 19 ? LONG_MAX + 1n : BigInt(digits);
  const value = sign === '-' ? -huge : huge;
  return Number(BigInt.asIntN(32, value > LONG_MAX ? LONG_MAX : value < LONG_MIN ? LONG_MIN : value));
}

/** One item between commas. */
export interface SequenceItem {
  readonly text: string;
  /** What stands before the first colon, untrimmed, as knockd quotes it. */
  readonly portText: string;
  /** After `atoi`; more than 65535 stops knockd, a negative one wraps. */
  readonly number: number;
  /** What stands between the first and the second colon, trimmed; absent without a colon. */
  readonly protocolText?: string;
  readonly protocol?: Protocol;
}

/** Why knockd refuses a sequence: the first of these in reading order. */
export type SequenceFault =
  | { readonly type: 'too-many' }
  | { readonly type: 'port'; readonly item: number }
  | { readonly type: 'protocol'; readonly item: number };

export interface Sequence {
  readonly items: readonly SequenceItem[];
  /** What knockd makes of the items before the fault. */
  readonly steps: readonly Step[];
  readonly fault?: SequenceFault;
}

/** Reads `port[:protocol],...`; every item is there, also after the fault. */
export function readSequence(value: string): Sequence {
  const items = value.split(',').map(readItem);
  const steps: Step[] = [];
  for (const [index, item] of items.entries()) {
    if (index === MAX_STEPS) return { items, steps, fault: { type: 'too-many' } };
    if (item.number > 65535) return { items, steps, fault: { type: 'port', item: index } };
    if (!item.protocol) return { items, steps, fault: { type: 'protocol', item: index } };
    steps.push({ protocol: item.protocol, port: item.number & 0xffff });
  }
  return { items, steps };
}

function readItem(text: string): SequenceItem {
  const [portText = '', protocolText] = text.split(':', 2);
  const number = atoi(portText);
  if (protocolText === undefined) return { text, portText, number, protocol: 'tcp' };
  const name = upperCase(trimSpace(protocolText));
  const item = { text, portText, number, protocolText: trimSpace(protocolText) };
  return name === 'TCP' ? { ...item, protocol: 'tcp' } : name === 'UDP' ? { ...item, protocol: 'udp' } : item;
}

/** knockd's words for a fault, after `config: section NAME: ` or `error: section NAME: `. */
export function describeFault(fault: SequenceFault, items: readonly SequenceItem[]): string {
  if (fault.type === 'too-many') return 'too many ports in knock sequence';
  if (fault.type === 'protocol') return 'unknown protocol in knock sequence';
  return `port ${items[fault.item]?.portText ?? ''} is invalid`;
}

/** Are these the same steps? */
export function sameSteps(x: readonly Step[], y: readonly Step[]): boolean {
  return x.length === y.length && x.every((step, i) => step.port === y[i]?.port && step.protocol === y[i]?.protocol);
}

export const FLAG_BITS: ReadonlyMap<string, number> = new Map([
  ['FIN', FIN],
  ['SYN', SYN],
  ['RST', RST],
  ['PSH', PSH],
  ['ACK', ACK],
  ['URG', URG],
]);

/** One item of `TCPFlags`, upper-cased; without `bit` it is no flag that knockd knows. */
export interface FlagItem {
  readonly text: string;
  readonly bit?: number;
  readonly negated: boolean;
}

/** The items of a `TCPFlags` value; the first one without a bit is where knockd stops. */
export function readFlags(value: string): FlagItem[] {
  return value.split(',').map((item) => {
    const text = upperCase(item);
    const negated = text.startsWith('!');
    const bit = FLAG_BITS.get(negated ? text.slice(1) : text);
    return bit === undefined ? { text, negated } : { text, negated, bit };
  });
}

/** The flags after one more mention: the last mention of a flag wins, over all lines of a door. */
export function mentionFlag(flags: TcpFlags, bit: number, negated: boolean): TcpFlags {
  return negated
    ? { set: flags.set & ~bit, clear: flags.clear | bit }
    : { set: flags.set | bit, clear: flags.clear & ~bit };
}
