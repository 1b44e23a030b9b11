/**
 * The commands that knockd.conf files run, as far as they are one of the usual ways to let an address through a firewall: iptables,
 * ip6tables, nft rules, ufw. Told apart are the port that opens or closes, and elements of sets, where the port is elsewhere.
 * What is only nearly one of them is none.
 */

import type { Protocol } from '../core/door.ts';
import type { PortRange } from '../core/policy.ts';
import { mergePorts, parsePorts } from './ports.ts';

export interface FirewallCommand {
  readonly action: 'open' | 'close';
  readonly ports: readonly PortRange[];
  /** What it says beside that and a door has no word for: `-i eth0`. */
  readonly narrowed: readonly string[];
  /** It names no protocol, which ufw takes for both. */
  readonly bothProtocols?: true;
}

/** An element of a set that some rule elsewhere looks at. */
export interface SetCommand {
  readonly action: 'open' | 'close';
  readonly set: string;
  /** Seconds. */
  readonly timeout?: number;
}

/** Reads a command, or several joined by `;` or `&&` that do the same for both families; undefined for any other. */
export function readFirewallCommand(command: string): FirewallCommand | undefined {
  const parts = splitCommands(command);
  const [first, ...others] = parts.map((words) => readRule(words));
  if (!first) return undefined;
  for (const other of others) {
    if (!other || other.action !== first.action || !samePorts(other.ports, first.ports)) return undefined;
  }
  const narrowed = new Set([first, ...others].flatMap((rule) => rule?.narrowed ?? []));
  return { ...first, narrowed: [...narrowed] };
}

export function samePorts(x: readonly PortRange[], y: readonly PortRange[]): boolean {
  const same = (one: PortRange, other: PortRange | undefined): boolean =>
    one.protocol === other?.protocol && one.first === other.first && one.last === other.last;
  return x.length === y.length && x.every((range, i) => same(range, y[i]));
}

/** Reads `ipset add SET %IP%` and `nft add element ... SET { %IP% }`, and their deletions. */
export function readSetCommand(command: string): SetCommand | undefined {
  const [words, ...others] = splitCommands(command);
  if (!words || others.length > 0) return undefined;
  const [program, verb, ...rest] = words.filter((word) => !/^-(?:exist|!|q|quiet)$/.test(word));
  if (program === 'ipset') {
    const [set, address, ...options] = rest;
    const action = /^(?:add|-A)$/.test(verb ?? '') ? 'open' : /^(?:del|-D)$/.test(verb ?? '') ? 'close' : undefined;
    if (!action || set === undefined || address !== '%IP%') return undefined;
    return { action, set, ...timeoutOf(options.join(' ')) };
  }
  if (program !== 'nft' || (verb !== 'add' && verb !== 'delete') || rest[0] !== 'element') return undefined;
  const [, set, options] = /^element (?:\w+ )?\S+ (\S+) \{ ?%IP%([^{},]*)\}$/.exec(rest.join(' ')) ?? [];
  if (set === undefined) return undefined;
  return { action: verb === 'add' ? 'open' : 'close', set, ...timeoutOf(options ?? '') };
}

function timeoutOf(options: string): { readonly timeout?: number } {
  const seconds = /\btimeout (\d{1,8})s?\b/.exec(options)?.[1];
  return seconds === undefined ? {} : { timeout: Number(seconds) };
}

/** The words of each command, the program without its directory; nothing when the shell would do more than run them. */
function splitCommands(command: string): readonly (readonly string[])[] {
  if (/[`$<>|\\(]|&(?!&)(?<!&&)/.test(command)) return [];
  const parts = command.split(/&&|;/).map((part) => part.trim());
  if (parts.at(-1) === '') parts.pop();
  const commands = parts.map((part) => {
    const words = (part.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []).map((word) => word.replaceAll(/["']/g, ''));
    while (words[0] === 'sudo' || words[0] === '-n') words.shift();
    const [program, ...rest] = words;
    return program === undefined ? [] : [program.replace(/^\/(?:\w+\/)*/, ''), ...rest];
  });
  // Braces of nft may touch what is in them.
  return commands.map((words) =>
    words.flatMap((word) => word.split(/(?<=[{}])|(?=[{}])/)).filter((word) => word !== ''),
  );
}

function readRule(words: readonly string[]): FirewallCommand | undefined {
  const [program, ...rest] = words;
  if (program === 'ufw') return readUfw(rest.join(' '));
  if (program === 'nft') return readNftRule(rest.join(' '));
  return /^ip6?tables(?:-nft|-legacy)?$/.test(program ?? '') ? readIptables(rest) : undefined;
}

const ALIASES: ReadonlyMap<string, string> = new Map([
  ['--append', '-A'],
  ['--insert', '-I'],
  ['--delete', '-D'],
  ['--source', '-s'],
  ['--src', '-s'],
  ['--protocol', '-p'],
  ['--proto', '-p'],
  ['--jump', '-j'],
  ['--match', '-m'],
  ['--in-interface', '-i'],
  ['--destination', '-d'],
  ['--dst', '-d'],
  ['--destination-port', '--dport'],
  ['--destination-ports', '--dports'],
  ['--table', '-t'],
  ['--wait', '-w'],
]);

function readIptables(words: readonly string[]): FirewallCommand | undefined {
  let action: FirewallCommand['action'] | undefined;
  let protocol: Protocol | undefined;
  let ports: string | undefined;
  let source = false;
  let accepted = false;
  const narrowed: string[] = [];
  const queue = [...words];
  const isValue = (word: string | undefined): boolean => word !== undefined && !word.startsWith('-');
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    const option = ALIASES.get(word) ?? word;
    if (option === '-w') {
      if (/^\d+$/.test(queue[0] ?? '')) queue.shift();
      continue;
    }
    const value = queue.shift();
    if (value === undefined || !isValue(value)) return undefined;
    if (option === '-A' || option === '-I' || option === '-D') {
      if (action !== undefined) return undefined;
      action = option === '-D' ? 'close' : 'open';
      if (option === '-I' && /^\d+$/.test(queue[0] ?? '')) queue.shift();
    } else if (option === '-s') source = /^%IP%(?:\/32|\/128)?$/.test(value);
    else if (option === '-p' && (value === 'tcp' || value === 'udp')) protocol = value;
    else if (option === '--dport' || option === '--dports') ports = value;
    else if (option === '-j') accepted = value === 'ACCEPT';
    else if (option === '-i' || option === '-d') narrowed.push(`${option} ${value}`);
    else if (option === '-m' && /^(?:tcp|udp|state|conntrack|multiport|comment)$/.test(value)) continue;
    else if ((option === '--state' || option === '--ctstate') && /(?:^|,)NEW(?:,|$)/.test(value)) continue;
    else if (option !== '--comment' && !(option === '-t' && value === 'filter')) return undefined;
  }
  const ranges = protocol && ports !== undefined ? readPortList(protocol, ports) : undefined;
  return action && source && accepted && ranges ? { action, ports: ranges, narrowed } : undefined;
}

/** `22,80,8000:8010`, of iptables and ufw; of nft with `-`. */
function readPortList(protocol: Protocol, list: string): readonly PortRange[] | undefined {
  const ranges = list.split(',').map((item) => parsePorts(`${protocol}/${item.trim().replace(':', '-')}`));
  const values = ranges.flatMap((reading) => ('value' in reading ? [reading.value] : []));
  return values.length === ranges.length ? mergePorts(values) : undefined;
}

/** `add rule inet filter input ip saddr %IP% tcp dport 22 accept`; a deletion goes by handle and tells nothing. */
function readNftRule(text: string): FirewallCommand | undefined {
  const pattern =
    /^(?:add|insert) rule (?:(?:ip|ip6|inet) )?\S+ \S+ (?:ip6? saddr %IP% )(tcp|udp) dport (?:\{ ([\d ,-]+) \}|([\d-]+))(?: ct state (?:new|\{ new \}))?(?: counter)? accept$/;
  const [, protocol, several, one] = pattern.exec(text) ?? [];
  if (protocol === undefined) return undefined;
  const ports = readPortList(protocol as Protocol, several ?? one ?? '');
  return ports && { action: 'open', ports, narrowed: [] };
}

/** `allow from %IP% to any port 22 proto tcp`; without a protocol it is both. */
function readUfw(text: string): FirewallCommand | undefined {
  const pattern =
    /^(?:--force )?(delete )?(?:insert \d+ )?(?:delete )?allow (?:in )?(?:proto (tcp|udp) )?from %IP% to any port ([\d,:]+)(?: proto (tcp|udp))?(?: comment .*)?$/;
  const match = pattern.exec(text);
  if (!match) return undefined;
  const [, , before, list = '', after] = match;
  const protocol = (before ?? after) as Protocol | undefined;
  const lists = (protocol ? [protocol] : (['tcp', 'udp'] as const)).map((name) => readPortList(name, list));
  if (lists.includes(undefined)) return undefined;
  const ports = mergePorts(lists.flatMap((ranges) => ranges ?? []));
  const action = /\bdelete\b/.test(text.split(' allow')[0] ?? '') ? 'close' : 'open';
  return { action, ports, narrowed: [], ...(protocol === undefined && { bothProtocols: true }) };
}
