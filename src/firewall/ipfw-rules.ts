/**
 * The guard as commands for one `ipfw -q /dev/stdin` (FreeBSD's ipfw(8)), and what `ipfw` lists.
 *
 * - Rules are prepared in a disabled set and change places with those in force by `set swap`, which is one step. Their numbers come before
 *   the administrator's: first match wins. They deny, or skip to the next number; nothing is allowed by them.
 * - No state is kept, so a ban drops its source's answers to our own connections, too.
 * - A table for each door, `postern_DOOR`, IPv4 and IPv6 in one; the value of an entry is its end in seconds since 1970, for lists:
 *   ipfw itself ends nothing.
 * - `keep` doors refuse only what begins a session, so that no reload and no closing touches one. `cut` and `kill` doors refuse all; the
 *   sources of sessions that are older than the guard are in `postern_live`.
 */

import { type Address, family, parseAddress } from '../core/address.ts';
import { type CloseMode, printPrefix, widestPrefixes } from '../core/policy.ts';
import { refuses } from './closed-port.ts';
import { FirewallError, type Guard } from './driver.ts';
import { portSegments } from './port-segments.ts';

/** The set in force, and the one to prepare in. Set 31 is ipfw's own. */
export const IN_FORCE = 29;
const PREPARED = 28;
/** Before the rules of /etc/rc.firewall, which begin at 100. */
const FIRST_RULE = 10;
const LAST_RULE = 99;
/** ipfw takes up to 30 ports and ranges in a rule. */
const PORTS_IN_RULE = 15;
const BLOCKS_IN_RULE = 15;

export const BANS = 'postern_ban';
export const LIVE = 'postern_live';
export const ALLOWED = 'postern_allow';

export interface TableEntry {
  readonly table: string;
  readonly source: Address;
  /** 0: none. */
  readonly value: number;
}

/** A dash keeps doors apart from tables of our own. */
export function doorTable(door: string): string {
  return `postern_-${door}`;
}

export function doorOfTable(table: string): string | undefined {
  return /^postern_-(.+)$/.exec(table)?.[1];
}

/** The commands that put the guard in force. Throws a `FirewallError` when it needs more numbers than there are. */
export function installCommands(guard: Guard): string {
  const tables = [BANS, LIVE, ALLOWED, ...guard.doors.map(({ name }) => doorTable(name))];
  const groups = guard.observe ? [] : groupsOf(guard);
  const end = FIRST_RULE + 1 + groups.length;
  if (end > LAST_RULE)
    throw new FirewallError(`there are ${groups.length} kinds of guarded ports, ipfw has room for 88`);
  const add = (number: number, rule: string): string => `add ${number} set ${PREPARED} ${rule}`;
  return [
    `set disable ${PREPARED}`,
    `delete set ${PREPARED}`,
    ...tables.map((table) => `table ${table} create type addr missing`),
    add(FIRST_RULE, `skipto ${end} ip from any to any via lo0`),
    ...trustedSources(guard).map((source) => add(FIRST_RULE, `skipto ${end} ${source} to any in`)),
    ...(guard.observe ? [] : [add(FIRST_RULE, `deny ip from table(${BANS}) to any in`)]),
    ...groups.flatMap(({ protocol, ports, doors, close }, index) => {
      const number = FIRST_RULE + 1 + index;
      const pass = (table: string, more = ''): string =>
        add(number, `skipto ${number + 1} ${protocol} from table(${table}) to any ${ports} in${more}`);
      const cut = protocol === 'tcp' && close !== 'keep';
      const which = protocol === 'tcp' && close === 'keep' ? ' setup' : '';
      return [
        ...doors.map((door) => pass(doorTable(door))),
        ...(cut ? [pass(LIVE, ' established')] : []),
        add(number, `${refusal(guard, protocol)} ${protocol} from any to any ${ports} in${which}`),
      ];
    }),
    `set swap ${PREPARED} ${IN_FORCE}`,
    `delete set ${PREPARED}`,
    '',
  ].join('\n');
}

/** Takes rules away, then the tables that they used. */
export function removeCommands(tables: readonly string[]): string {
  return [
    `delete set ${IN_FORCE}`,
    `delete set ${PREPARED}`,
    ...tables.map((table) => `table ${table} destroy`),
    '',
  ].join('\n');
}

/** What `ipfw table all list` prints of our tables: their names, and their entries. */
export function parseTables(text: string): { readonly tables: string[]; readonly entries: TableEntry[] } {
  const tables: string[] = [];
  const entries: TableEntry[] = [];
  let table = '';
  for (const line of text.split('\n')) {
    const header = /^--- table\(([^)]+)\), set\(\d+\) ---/.exec(line);
    if (header) {
      table = header[1]?.startsWith('postern_') ? header[1] : '';
      if (table !== '') tables.push(table);
      continue;
    }
    const [, text4or6 = '', value = '0'] = /^([0-9a-fA-F.:]+)\/\d{1,3}(?: (\d+))?\s*$/.exec(line) ?? [];
    const source = parseAddress(text4or6);
    if (table !== '' && source !== undefined) entries.push({ table, source, value: Number(value) });
  }
  return { tables, entries };
}

/** Does `ipfw set show` say that our rules are in force? */
export function isEnabled(shown: string): boolean {
  const disabled = /disable((?: \d+)*)/.exec(shown)?.[1] ?? '';
  return !disabled.split(' ').includes(`${IN_FORCE}`);
}

interface Group {
  readonly protocol: 'tcp' | 'udp';
  readonly ports: string;
  readonly doors: readonly string[];
  readonly close: CloseMode;
}

/** Whom every door is open for, as the rules name them. */
function trustedSources({ trusted }: Guard): string[] {
  const blocks = widestPrefixes(trusted);
  const lists = ([4, 6] as const).flatMap((version) => {
    const mine = blocks.filter(({ address }) => family(address) === version).map(printPrefix);
    return chunks(mine.sort(), BLOCKS_IN_RULE).map((some) => `ip${version} from ${some.join(',')}`);
  });
  return [...lists, `ip from table(${ALLOWED})`];
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  );
}

/** Segments with the same doors share a rule number. */
function groupsOf({ doors }: Guard): Group[] {
  const groups = new Map<string, { group: Omit<Group, 'ports'>; ports: string[] }>();
  for (const { protocol, first, last, doors: names, close } of portSegments(doors)) {
    const key = `${protocol} ${close} ${names.join(' ')}`;
    const found = groups.get(key) ?? { group: { protocol, doors: names, close }, ports: [] };
    found.ports.push(first === last ? `${first}` : `${first}-${last}`);
    groups.set(key, found);
  }
  return [...groups.values()].flatMap(({ group, ports }) =>
    chunks(ports, PORTS_IN_RULE).map((some) => ({ ...group, ports: some.join(',') })),
  );
}

/** Nothing leads packets to a port of the host's own refusing here: `mirror` is what the host was seen to do. */
function refusal(guard: Guard, protocol: 'tcp' | 'udp'): string {
  if (!refuses(guard, protocol)) return 'deny';
  return protocol === 'tcp' ? 'reset' : 'unreach port';
}
