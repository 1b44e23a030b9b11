/**
 * What `nft -j list ruleset` prints, read for one probe (libnftables-json(5)): ports, protocols, flags, conntrack states and lo are decided,
 * every other match may or may not hold. Named sets and verdict maps can change at any time: only a stranger's probe, which asks about
 * now, looks into them.
 */

import { nftAnswer } from './answers.ts';
import {
  type Act,
  both,
  comesBy,
  flagBits,
  type HostChain,
  type HostRule,
  type HostTable,
  not,
  type Probe,
  probeBits,
  type Truth,
} from './host-rules.ts';

export type Json = { readonly [key: string]: unknown };

/** What the text lists, for every probe the same. Throws when it is no JSON. */
export function parseNftListing(text: string): readonly Json[] {
  const { nftables = [] } = JSON.parse(text) as { nftables?: readonly Json[] };
  return nftables;
}

/** Is the entry part of this table, or the table itself? */
export function isOfTable(entry: Json, family: string, name: string): boolean {
  const [kind = ''] = Object.keys(entry);
  const body = object(entry[kind]);
  return body?.family === family && (kind === 'table' ? body.name : body.table) === name;
}

/** The tables of the probe's family. */
export function nftTables(nftables: readonly Json[], probe: Probe): HostTable[] {
  const tables = new Map<string, { table: HostTable; chains: HostChain[] }>();
  const rulesOf = new Map<string, HostRule[]>();
  const elementsOf = new Map<string, Json>();
  const families = probe.version === 4 ? ['ip', 'inet'] : ['ip6', 'inet'];
  for (const entry of nftables) {
    const table = object(entry.table);
    const chain = object(entry.chain);
    const rule = object(entry.rule);
    const named = object(entry.set) ?? object(entry.map);
    if (table && families.includes(String(table.family))) {
      const chains: HostChain[] = [];
      const family = table.family as HostTable['family'];
      tables.set(`${family} ${table.name}`, {
        table: { family, name: String(table.name), source: 'nft', chains },
        chains,
      });
    } else if (chain) {
      const rules: HostRule[] = [];
      rulesOf.set(`${chain.family} ${chain.table} ${chain.name}`, rules);
      const base = {
        hook: String(chain.hook),
        type: String(chain.type),
        policy: chain.policy === 'drop' ? 'drop' : 'accept',
        priority: Number(chain.prio ?? 0),
      } as const;
      tables
        .get(`${chain.family} ${chain.table}`)
        ?.chains.push({ name: String(chain.name), rules, ...(chain.hook === undefined ? {} : { base }) });
    } else if (rule) {
      const of = `${rule.family} ${rule.table}`;
      const expressions = withElements(list(rule.expr), (name) => elementsOf.get(`${of} ${name}`));
      const about = {
        ports: portsNamed(expressions),
        deletion: `nft delete rule ${of} ${rule.chain} handle ${rule.handle}`,
      };
      rulesOf.get(`${of} ${rule.chain}`)?.push(...parseRule(expressions, probe).map((each) => ({ ...each, ...about })));
    } else if (named && probe.stranger) {
      elementsOf.set(`${named.family} ${named.table} ${named.name}`, { set: named.elem ?? [] });
    }
  }
  return [...tables.values()].map(({ table }) => table);
}

/** The rule with the elements of named sets and verdict maps in place of `@name`, where they are known. */
function withElements(expressions: readonly Json[], known: (name: string) => Json | undefined): readonly Json[] {
  const inPlace = (kind: string, key: string, expression: Json): Json => {
    const body = object(expression[kind]);
    const name = body?.[key];
    const elements = typeof name === 'string' && name.startsWith('@') ? known(name.slice(1)) : undefined;
    return body && elements ? { [kind]: { ...body, [key]: elements } } : expression;
  };
  return expressions.map((expression) => inPlace('vmap', 'data', inPlace('match', 'right', expression)));
}

/** A rule with a verdict map is one rule for each of its verdicts. */
function parseRule(expressions: readonly Json[], probe: Probe): HostRule[] {
  const truths: Truth[] = [];
  for (const expression of expressions) {
    const [kind = ''] = Object.keys(expression);
    const body = expression[kind];
    if (kind === 'match') truths.push(matchHolds(object(body) ?? {}, probe));
    else if (kind === 'vmap') return mapRules(object(body) ?? {}, probe, both(...truths));
    else if (PASSING.has(kind)) continue;
    else if (kind === 'dnat' && object(object(body)?.addr)?.map !== undefined) {
      return leadRules(object(object(object(body)?.addr)?.map) ?? {}, probe, both(...truths));
    } else if (kind === 'redirect' && object(object(body)?.port)?.map !== undefined) {
      return leadRules(object(object(object(body)?.port)?.map) ?? {}, probe, both(...truths));
    } else {
      const act = actOf(kind, body, probe);
      if (act) return [{ match: both(...truths), act }];
      truths.push('maybe');
    }
  }
  return [{ match: both(...truths), act: { do: 'next' } }];
}

const PASSING = new Set(['counter', 'log', 'comment', 'mangle', 'notrack', 'ct helper', 'ct timeout', 'flow']);

function actOf(kind: string, body: unknown, { version }: Probe): Act | undefined {
  const target = object(body);
  switch (kind) {
    case 'accept':
      return { do: 'end', fate: 'accept' };
    case 'drop':
      return { do: 'end', fate: 'drop' };
    case 'reject': {
      const [type, name] = [target?.type ?? 'icmpx', target?.expr ?? 'port-unreachable'].map(shown) as [string, string];
      return { do: 'end', fate: nftAnswer(type, name, version) ?? 'unknown' };
    }
    case 'return':
      return { do: 'return' };
    case 'jump':
    case 'goto':
      return { do: kind, chain: String(target?.target) };
    case 'dnat':
    case 'redirect':
      return {
        do: 'lead',
        to: [target?.addr, target?.port]
          .filter((part) => part !== undefined)
          .map(rangeShown)
          .join(':'),
      };
    case 'queue':
    case 'tproxy':
    case 'synproxy':
      return { do: 'end', fate: 'unknown' };
    default:
      return undefined;
  }
}

function mapRules({ key, data }: Json, probe: Probe, before: Truth): HostRule[] {
  const elements = object(data)?.set;
  if (!Array.isArray(elements)) return [{ match: both(before, 'maybe'), act: { do: 'end', fate: 'unknown' } }];
  return elements.flatMap((element): HostRule[] => {
    const [value, verdict] = Array.isArray(element) ? element : [];
    const [kind = ''] = Object.keys(object(verdict) ?? {});
    const act = actOf(kind, object(verdict)?.[kind], probe);
    return act ? [{ match: both(before, valueHolds(object(key) ?? {}, value, probe)), act }] : [];
  });
}

/** `dnat to tcp dport map { 8080 : 172.17.0.2 }` is a rule for each of its elements. */
function leadRules({ key, data }: Json, probe: Probe, before: Truth): HostRule[] {
  const elements = object(data)?.set;
  if (!Array.isArray(elements)) return [{ match: both(before, 'maybe'), act: { do: 'lead', to: '…' } }];
  return elements.map((element): HostRule => {
    const [value, target] = Array.isArray(element) ? element : [];
    const concat = object(target)?.concat;
    const to = (Array.isArray(concat) ? concat : [target]).map(shown).join(':');
    return { match: both(before, valueHolds(object(key) ?? {}, value, probe)), act: { do: 'lead', to } };
  });
}

function matchHolds({ op, left, right }: Json, probe: Probe): Truth {
  const truth = flagsHold(object(left) ?? {}, op, right, probe) ?? valueHolds(object(left) ?? {}, right, probe);
  if (op === '==' || op === 'in') return truth;
  return op === '!=' ? not(truth) : 'maybe';
}

/** `tcp flags`, behind a mask or not: any of the flags (`in`), or these alone. Undefined for whatever else. */
function flagsHold(left: Json, op: unknown, right: unknown, probe: Probe): Truth | undefined {
  const masked = Array.isArray(left['&']) ? left['&'] : undefined;
  const payload = object((object(masked?.[0]) ?? left).payload);
  if (payload?.protocol !== 'tcp' || payload.field !== 'flags') return undefined;
  if (probe.protocol !== 'tcp') return 'no';
  const mask = masked === undefined ? 0xff : bitsOf(masked[1]);
  const wanted = bitsOf(right);
  if (mask === undefined || wanted === undefined) return 'maybe';
  const has = probeBits(probe) & mask;
  return (op === 'in' ? (has & wanted) !== 0 : has === wanted) ? 'yes' : 'no';
}

function bitsOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  const union = object(value)?.['|'];
  if (!Array.isArray(union)) return flagBits([value].flat().map(shown));
  const parts = union.map(bitsOf);
  return parts.reduce<number | undefined>(
    (all, part) => (all === undefined || part === undefined ? undefined : all | part),
    0,
  );
}

function valueHolds(left: Json, right: unknown, probe: Probe): Truth {
  const { version, protocol, port, state = 'new', stranger = false, led = false } = probe;
  const meta = object(left.meta)?.key;
  const ct = object(left.ct)?.key;
  const payload = object(left.payload);
  if (stranger && (payload ?? maskedPayload(left))?.field === 'saddr') return 'no';
  // Reverse path filters: whoever can connect has a route back.
  if (left.fib !== undefined && right === false) return 'no';
  // It goes to an address of this host.
  const fib = object(left.fib);
  if (fib?.result === 'type' && [fib.flags].flat().includes('daddr'))
    return [right].flat().includes('local') ? 'yes' : 'no';
  const [parts, each] = [left.concat, object(right)?.concat];
  if (Array.isArray(parts) && Array.isArray(each))
    return both(...parts.map((part, at) => valueHolds(object(part) ?? {}, each[at], probe)));
  const values = valuesOf(right);
  if (values === undefined) return 'maybe';
  const oneOf = (...names: readonly (string | number)[]): Truth =>
    values.some((value) => names.includes(value as string)) ? 'yes' : 'no';
  if (meta === 'l4proto') return oneOf(protocol, protocol === 'tcp' ? 6 : 17);
  if (meta === 'nfproto') return oneOf(version === 4 ? 'ipv4' : 'ipv6');
  if (meta === 'protocol') return oneOf(version === 4 ? 'ip' : 'ip6');
  if (meta === 'iif' || meta === 'iifname') return comesBy(probe, values.map(shown), '*');
  if (ct === 'state') return oneOf(state);
  // Who asks begins it.
  if (ct === 'direction') return oneOf('original');
  if (ct === 'status')
    return led && oneOf('dnat') === 'yes'
      ? 'yes'
      : values.every((value) => ['dnat', 'snat', 'assured', 'confirmed', 'seen-reply'].includes(String(value)))
        ? 'no'
        : 'maybe';
  if (payload?.field === 'protocol' && payload.protocol === 'ip') return oneOf(protocol);
  if (payload?.field === 'nexthdr') return oneOf(protocol);
  if (payload?.protocol === 'icmp' || payload?.protocol === 'icmpv6') return 'no';
  if (payload?.field !== 'dport')
    return payload && ['tcp', 'udp'].includes(String(payload.protocol)) && payload.protocol !== protocol
      ? 'no'
      : 'maybe';
  if (payload.protocol !== protocol && payload.protocol !== 'th') return 'no';
  return values.some((value) => portHolds(value, port)) ? 'yes' : 'no';
}

/** Of `ip6 saddr & mask`. */
function maskedPayload(left: Json): Json | undefined {
  const masked = left['&'];
  return Array.isArray(masked) ? object(object(masked[0])?.payload) : undefined;
}

/** Undefined when it is a named set, or whatever else has no values to look at. */
function valuesOf(right: unknown): readonly unknown[] | undefined {
  if (Array.isArray(right)) return right;
  const set = object(right)?.set;
  if (Array.isArray(set)) return set.map((value) => object(object(value)?.elem)?.val ?? value);
  if (object(right)?.range !== undefined) return [right];
  return typeof right === 'string' && right.startsWith('@') ? undefined : [right];
}

function portHolds(value: unknown, port: number): boolean {
  const range = object(value)?.range;
  if (Array.isArray(range)) return Number(range[0]) <= port && port <= Number(range[1]);
  return value === port;
}

/** Of `dport` matches, and of the keys of maps. */
function portsNamed(expressions: readonly Json[]): readonly number[] {
  const numbers = (value: unknown): number[] => {
    if (typeof value === 'number') return [value];
    if (Array.isArray(value)) return value.flatMap(numbers);
    const { set, range, elem, val, concat } = object(value) ?? {};
    return [set, range, elem, val, concat].flatMap((each) => (each === undefined ? [] : numbers(each)));
  };
  return expressions.flatMap((expression) => {
    const match = object(expression.match);
    if (object(object(match?.left)?.payload)?.field === 'dport' || object(match?.left)?.concat !== undefined)
      return numbers(match?.right);
    const target = object(expression.dnat) ?? object(expression.redirect);
    const map = object(object(target?.addr)?.map) ?? object(object(target?.port)?.map) ?? object(expression.vmap);
    const elements = object(map?.data)?.set;
    return Array.isArray(elements) ? elements.flatMap((pair) => (Array.isArray(pair) ? numbers(pair[0]) : [])) : [];
  });
}

function object(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(object).filter((each) => each !== undefined) : [];
}

function rangeShown(value: unknown): string {
  const range = object(value)?.range;
  return Array.isArray(range) ? range.map(shown).join('-') : shown(value);
}

function shown(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '…';
}
