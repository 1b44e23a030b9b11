/**
 * What `iptables-save` prints (of either backend), read for one probe: the matches that every host has (ports, flags, conntrack, lo,
 * multicast) are decided, all others may or may not hold. The format is iptables' own command line, one rule a line.
 */

import { iptablesAnswer } from './answers.ts';
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

const PRIORITIES: Readonly<Record<string, number>> = { raw: -300, mangle: -150, nat: -100, filter: 0, security: 50 };

const HOOKS: Readonly<Record<string, string>> = { PREROUTING: 'prerouting', INPUT: 'input', FORWARD: 'forward' };

/** Options whose value is anybody's text, a dash in front included. */
const TEXT = new Set(['--comment', '--log-prefix', '--nflog-prefix']);

/** The tables of one dump. Lines that are no rules are passed over. */
export function parseIptablesSave(text: string, probe: Probe, source: 'iptables' | 'iptables-legacy'): HostTable[] {
  const tables: HostTable[] = [];
  let chains = new Map<string, { chain: HostChain; rules: HostRule[] }>();
  let name = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      name = line.slice(1).trim();
      chains = new Map();
    } else if (line.startsWith(':')) {
      const [chainName = '', policy] = line.slice(1).split(' ');
      const hook = HOOKS[chainName];
      const rules: HostRule[] = [];
      const base = {
        hook: hook ?? 'other',
        type: name === 'nat' ? 'nat' : 'filter',
        policy: policy === 'DROP' ? 'drop' : 'accept',
        priority: PRIORITIES[name] ?? 0,
      } as const;
      chains.set(chainName, { chain: { name: chainName, rules, ...(policy === '-' ? {} : { base }) }, rules });
    } else if (line.startsWith('-A ')) {
      const [, chainName = '', ...words] = wordsOf(line);
      const program = `${probe.version === 4 ? 'iptables' : 'ip6tables'}${source === 'iptables' ? '' : '-legacy'}`;
      const about = { ports: portsNamed(words), deletion: `${program} -t ${name} -D ${line.slice('-A '.length)}` };
      chains.get(chainName)?.rules.push({ ...parseRule(words, probe), ...about });
    } else if (line.startsWith('COMMIT')) {
      const family = probe.version === 4 ? 'ip' : 'ip6';
      tables.push({ family, name, source, chains: [...chains.values()].map(({ chain }) => chain) });
    }
  }
  return tables;
}

function portsNamed(words: readonly string[]): readonly number[] {
  return words.flatMap((word, at) => (/^--dports?$/.test(word) ? (words[at + 1] ?? '').split(/[,:]/).map(Number) : []));
}

function wordsOf(line: string): string[] {
  return (line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map((word) => word.replace(/^"(.*)"$/s, '$1'));
}

function parseRule(words: readonly string[], probe: Probe): HostRule {
  const truths: Truth[] = [];
  let act: Act = { do: 'next' };
  for (let at = 0; at < words.length; ) {
    const negated = words[at] === '!';
    if (negated) at += 1;
    const option = words[at] ?? '';
    if (option === '-j' || option === '-g') {
      act = actOf(option, words.slice(at + 1), probe);
      break;
    }
    const truth = truthOf(option, words.slice(at + 1), probe);
    if (truth !== undefined) truths.push(negated ? not(truth) : truth);
    at += TEXT.has(option) ? 2 : 1;
    while (at < words.length && !words[at]!.startsWith('-') && words[at] !== '!') at += 1;
  }
  return { match: both(...truths), act };
}

/** Undefined says nothing either way. */
function truthOf(option: string, [value = '', second = '']: readonly string[], probe: Probe): Truth | undefined {
  const { protocol, port, version, state = 'new', stranger = false, led = false } = probe;
  switch (option) {
    case '-m':
      return ['tcp', 'udp', 'conntrack', 'state', 'multiport', 'comment', 'addrtype', 'rt', 'rpfilter', 'set'].includes(
        value,
      )
        ? undefined
        : 'maybe';
    case '--comment':
      return undefined;
    case '-p':
      if (value === 'all') return undefined;
      return value === protocol || value === (protocol === 'tcp' ? '6' : '17') ? 'yes' : 'no';
    case '--dport':
    case '--dports':
      return portsHold(value, port);
    case '--ctstate':
    case '--state':
      return value.split(',').some((word) => word === state.toUpperCase() || (led && word === 'DNAT')) ? 'yes' : 'no';
    case '--ctdir': // Who asks begins it.
      return value === 'ORIGINAL' ? 'yes' : 'no';
    case '--ctstatus':
      return value === 'DNAT' ? (led ? 'yes' : 'no') : 'maybe';
    case '-i':
      return comesBy(probe, [value], '+');
    case '--dst-type':
      return value.split(',').includes('LOCAL') ? 'yes' : 'no';
    case '-d':
      return /^(22[4-9]|23\d|255)\.|^ff/i.test(value) ? 'no' : 'maybe';
    case '-s':
      return stranger || value === (version === 4 ? '127.0.0.0/8' : '::1/128') ? 'no' : 'maybe';
    case '--match-set':
      return stranger && second.split(',')[0] === 'src' ? 'no' : 'maybe';
    case '--tcp-flags':
      return flagsHold(value, second, probe);
    case '--rt-type': // Nobody's client sends routing headers,
    case '--invert': // and whoever can connect has a route back (rpfilter).
      return 'no';
    case '--syn':
      return flagsHold('FIN,SYN,RST,ACK', 'SYN', probe);
    default:
      return 'maybe';
  }
}

function flagsHold(mask: string, set: string, probe: Probe): Truth {
  const [masked, wanted] = [mask, set].map((text) =>
    flagBits(text === 'NONE' ? [] : text === 'ALL' ? ['fin', 'syn', 'rst', 'psh', 'ack', 'urg'] : text.split(',')),
  );
  if (probe.protocol !== 'tcp') return 'no';
  if (masked === undefined || wanted === undefined) return 'maybe';
  return (probeBits(probe) & masked) === wanted ? 'yes' : 'no';
}

function portsHold(list: string, port: number): Truth {
  const holds = list.split(',').some((range) => {
    const [first = '', last = first] = range.split(':');
    return Number(first || 0) <= port && port <= Number(last || 65_535);
  });
  return holds ? 'yes' : 'no';
}

function actOf(option: string, [target = '', ...rest]: readonly string[], { version }: Probe): Act {
  if (option === '-g') return { do: 'goto', chain: target };
  const value = (name: string): string => rest[rest.indexOf(name) + 1] ?? '';
  switch (target) {
    case 'ACCEPT':
      return { do: 'end', fate: 'accept' };
    case 'DROP':
      return { do: 'end', fate: 'drop' };
    case 'RETURN':
      return { do: 'return' };
    case 'REJECT': {
      const usual = version === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
      const how = rest.includes('--reject-with') ? value('--reject-with') : usual;
      return { do: 'end', fate: iptablesAnswer(how, version) ?? 'unknown' };
    }
    case 'DNAT':
      return { do: 'lead', to: value('--to-destination') };
    case 'REDIRECT':
      return { do: 'lead', to: `port ${value('--to-ports')}` };
    case 'QUEUE':
    case 'NFQUEUE':
    case 'TPROXY':
    case 'SYNPROXY':
      return { do: 'end', fate: 'unknown' };
    default:
      // LOG, MARK and other targets that go on are in capitals; chains of people and programs mostly are not.
      return /^(LOG|NFLOG|ULOG|MARK|CONNMARK|CT|NOTRACK|TRACE|TOS|DSCP|TTL|HL|TCPMSS|SET|AUDIT|CHECKSUM|CLASSIFY|SECMARK|CONNSECMARK)$/.test(
        target,
      )
        ? { do: 'next' }
        : target === ''
          ? { do: 'next' }
          : { do: 'jump', chain: target };
  }
}
