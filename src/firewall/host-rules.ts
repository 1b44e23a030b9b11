/**
 * What somebody else's rules do with a packet from outside that belongs to no session: walked as the kernel does, with a third truth for
 * whatever is not understood. The answer is every outcome that is possible, so that only a single one is told as a fact.
 */

import type { Answer } from './answers.ts';

/** The packet that asks: from outside, to an address of this host. */
export interface Probe {
  readonly version: 4 | 6;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** What it is to conntrack: `new` unless said. */
  readonly state?: 'new' | 'invalid';
  /** The TCP flags that it has: SYN alone unless said. */
  readonly flags?: readonly TcpFlag[];
  /** It comes from nowhere that a rule names. Else it may. */
  readonly stranger?: boolean;
  /** The interfaces that it may come in by, where that is known. */
  readonly from?: readonly string[];
  /** DNAT or REDIRECT has led it here. */
  readonly led?: boolean;
}

const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ecn', 'cwr'] as const;

export type TcpFlag = (typeof TCP_FLAGS)[number];

export type Truth = 'yes' | 'no' | 'maybe';

export type Fate = 'accept' | Answer | 'unknown';

export type Act =
  | { readonly do: 'end'; readonly fate: Fate }
  | { readonly do: 'jump' | 'goto'; readonly chain: string }
  | { readonly do: 'return' }
  | { readonly do: 'lead'; readonly to: string }
  | { readonly do: 'next' };

export interface HostRule {
  readonly match: Truth;
  readonly act: Act;
  /** The destination ports that it names, whichever of them the probe asks for; of ranges both ends. */
  readonly ports?: readonly number[];
  /** The command that takes it away. */
  readonly deletion?: string;
}

export interface HostChain {
  readonly name: string;
  readonly rules: readonly HostRule[];
  /** Of a chain that the kernel calls. */
  readonly base?: {
    readonly hook: string;
    readonly type: string;
    readonly policy: 'accept' | 'drop';
    /** The lower the earlier. */
    readonly priority: number;
  };
}

/** Chains that call each other. */
export interface HostTable {
  readonly family: 'ip' | 'ip6' | 'inet';
  readonly name: string;
  readonly source: 'iptables' | 'iptables-legacy' | 'nft';
  readonly chains: readonly HostChain[];
}

export interface Walk {
  readonly fates: ReadonlySet<Fate>;
  /** Where DNAT may lead it. */
  readonly led: ReadonlySet<string>;
}

/** The kernel's own limit of jumps is 16. */
const DEEPEST = 16;
const MOST_STEPS = 100_000;

/** What may become of the probe in this base chain. */
export function walk(table: HostTable, base: HostChain): Walk {
  const chains = new Map(table.chains.map((chain) => [chain.name, chain]));
  const led = new Set<string>();
  let steps = 0;
  type End = Fate | 'over';
  const run = (chain: HostChain | undefined, depth: number): Set<End> => {
    if (chain === undefined || depth > DEEPEST) return new Set(['unknown']);
    const ends = new Set<End>();
    for (const { match, act } of chain.rules) {
      steps += 1;
      if (steps > MOST_STEPS) return new Set(['unknown']);
      if (match === 'no' || act.do === 'next') continue;
      if (act.do === 'end') {
        ends.add(act.fate);
        if (match === 'yes') return ends;
      } else if (act.do === 'lead') {
        led.add(act.to);
        ends.add('accept');
        if (match === 'yes') return ends;
      } else if (act.do === 'return') {
        ends.add('over');
        if (match === 'yes') return ends;
      } else {
        const inner = run(chains.get(act.chain), depth + 1);
        const back = inner.delete('over');
        for (const end of inner) ends.add(end);
        if (match === 'maybe') {
          if (act.do === 'goto' && back) ends.add('over');
          continue;
        }
        if (act.do === 'goto' && back) ends.add('over');
        if (act.do === 'goto' || !back) return ends;
      }
    }
    return ends.add('over');
  };
  const ends = run(base, 0);
  if (ends.delete('over')) ends.add(base.base?.policy ?? 'accept');
  return { fates: ends as Set<Fate>, led };
}

/** The flags of the probe, or of a rule that names them, as the bits of a TCP header; undefined with a name that is none. */
export function flagBits(names: readonly string[]): number | undefined {
  let bits = 0;
  for (const name of names) {
    const at = TCP_FLAGS.indexOf(name.toLowerCase() as TcpFlag);
    if (at < 0) return undefined;
    bits |= 1 << at;
  }
  return bits;
}

export function probeBits({ flags = ['syn'] }: Probe): number {
  return flagBits(flags) ?? 0;
}

/** Does it come in by one of these? `eth+` and `eth*` are all whose names begin so. */
export function comesBy({ from = [] }: Probe, names: readonly string[], wildcard: '+' | '*'): Truth {
  if (names.every((name) => name === 'lo')) return 'no';
  if (from.length === 0) return 'maybe';
  const named = (face: string): boolean =>
    names.some((name) => (name.endsWith(wildcard) ? face.startsWith(name.slice(0, -1)) : name === face));
  if (from.every(named)) return 'yes';
  return from.some(named) ? 'maybe' : 'no';
}

/** Both have to hold. */
export function both(...truths: readonly Truth[]): Truth {
  if (truths.includes('no')) return 'no';
  return truths.includes('maybe') ? 'maybe' : 'yes';
}

export function not(truth: Truth): Truth {
  return truth === 'maybe' ? 'maybe' : truth === 'yes' ? 'no' : 'yes';
}
