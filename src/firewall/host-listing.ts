/**
 * This host's own rules, as the tools print them, so that the judging is apart from the asking. Reads, changes nothing, and every
 * program that it runs has a time limit.
 */

import { readFileSync } from 'node:fs';
import { feedProgram } from '../platform/process.ts';

/** What the host's rules are made of, as text. */
export interface HostListing {
  /** `nft -j list ruleset`. */
  readonly nft?: string;
  /** `iptables-save` and `ip6tables-save`; of the old backend where it holds tables. */
  readonly iptables: readonly {
    readonly version: 4 | 6;
    readonly source: 'iptables' | 'iptables-legacy';
    readonly text: string;
  }[];
  /** Of these families there are rules of the old backend, and they could not be read. */
  readonly unread?: readonly (4 | 6)[];
}

const LIMITS = { timeout: 10_000, limit: 16 * 1024 * 1024 };

/** Nothing could be read: nobody knows what the host does. */
export function isEmpty({ nft, iptables }: HostListing): boolean {
  return nft === undefined && iptables.length === 0;
}

/** What can be read. Never throws. */
export async function listHost(): Promise<HostListing> {
  const run = async (...argv: [string, ...string[]]): Promise<string | undefined> => {
    const { ending, output } = await feedProgram(argv, '', LIMITS);
    const whole = 'status' in ending && ending.status === 0 && output.length < LIMITS.limit;
    return whole ? output : undefined;
  };
  const programs = [
    { version: 4, source: 'iptables', program: 'iptables-nft-save', needed: () => true },
    { version: 6, source: 'iptables', program: 'ip6tables-nft-save', needed: () => true },
    { version: 4, source: 'iptables-legacy', program: 'iptables-legacy-save', needed: () => holdsTables('ip') },
    { version: 6, source: 'iptables-legacy', program: 'ip6tables-legacy-save', needed: () => holdsTables('ip6') },
  ] as const;
  const listed = run('nft', '-j', 'list', 'ruleset');
  const saved = await Promise.all(
    programs.map(async ({ program, needed, ...rest }) => ({
      ...rest,
      text: needed() ? await run(program) : undefined,
      missed: rest.source === 'iptables-legacy' && needed(),
    })),
  );
  const nft = await listed;
  const unread = saved.flatMap(({ version, text, missed }) => (text === undefined && missed ? [version] : []));
  return {
    ...(nft === undefined ? {} : { nft }),
    iptables: saved.flatMap(({ version, source, text }) => (text === undefined ? [] : [{ version, source, text }])),
    ...(unread.length > 0 && { unread }),
  };
}

/** Reading the old backend's tables would load its modules where nobody uses it. */
function holdsTables(family: 'ip' | 'ip6'): boolean {
  try {
    return readFileSync(`/proc/net/${family}_tables_names`, 'utf8').trim() !== '';
  } catch {
    return false;
  }
}
