/**
 * What a packet can get for an answer where it is not let in, named as nft names the ICMP errors of each family (nft(8), REJECT
 * STATEMENT), and what a host answers at ports that nobody uses: a closed port that answers like them can not be told from them.
 */

import type { Family } from '../core/address.ts';

/** The ICMP errors that rules can answer with, and what iptables and ip6tables call them. */
const UNREACHABLES = {
  4: {
    'net-unreachable': 'icmp-net-unreachable',
    'host-unreachable': 'icmp-host-unreachable',
    'prot-unreachable': 'icmp-proto-unreachable',
    'port-unreachable': 'icmp-port-unreachable',
    'net-prohibited': 'icmp-net-prohibited',
    'host-prohibited': 'icmp-host-prohibited',
    'admin-prohibited': 'icmp-admin-prohibited',
  },
  6: {
    'no-route': 'icmp6-no-route',
    'admin-prohibited': 'icmp6-adm-prohibited',
    'addr-unreachable': 'icmp6-addr-unreachable',
    'port-unreachable': 'icmp6-port-unreachable',
    'policy-fail': 'icmp6-policy-fail',
    'reject-route': 'icmp6-reject-route',
  },
} as const;

/** What `icmpx` stands for, where the families have other names for it. */
const ICMPX: Readonly<Record<Family, Readonly<Record<string, string>>>> = {
  4: { 'no-route': 'net-unreachable' },
  6: { 'host-unreachable': 'addr-unreachable' },
};

type Unreachable = keyof (typeof UNREACHABLES)[4] | keyof (typeof UNREACHABLES)[6];

/** Nothing, a TCP reset, or an ICMP error. */
export type Answer = 'drop' | 'reset' | `icmp ${Unreachable}`;

/** What a host answers over one family, by what kind of packet asks. */
export interface Answers {
  /** The SYN of a new connection. */
  readonly tcp: Answer;
  /** Other segments that conntrack takes for a session which it did not see begin: those with ACK alone. */
  readonly midstream: Answer;
  /** Segments that belong to no session, such as a FIN out of nowhere: invalid to conntrack. */
  readonly invalid: Answer;
  readonly udp: Answer;
  /** No rule answers TCP: the kernel itself resets what finds no listener. */
  readonly own?: true;
}

export type HostAnswers = Readonly<Record<Family, Answers>>;

/** As a host without a firewall does. */
export const REFUSING: Answers = {
  tcp: 'reset',
  midstream: 'reset',
  invalid: 'reset',
  udp: 'icmp port-unreachable',
  own: true,
};

export const SILENT: Answers = { tcp: 'drop', midstream: 'drop', invalid: 'drop', udp: 'drop' };

/** The answer that nft knows by this type and name (`icmpx`, `admin-prohibited`); undefined when we know none such. */
export function nftAnswer(type: string, name: string, version: Family): Answer | undefined {
  if (type === 'tcp reset') return 'reset';
  return unreachable(type === 'icmpx' ? (ICMPX[version][name] ?? name) : name, version);
}

/** The answer that iptables knows by this `--reject-with`. */
export function iptablesAnswer(how: string, version: Family): Answer | undefined {
  if (how === 'tcp-reset') return 'reset';
  const [name] = Object.entries(UNREACHABLES[version]).find(([, word]) => word === how) ?? [];
  return name === undefined ? undefined : unreachable(name, version);
}

/** The statement that answers so, the same for both families where it can be. */
export function nftStatement(answer: Answer, version: Family): string {
  if (answer === 'drop') return 'drop';
  if (answer === 'reset') return 'reject with tcp reset';
  const name = answer.slice('icmp '.length);
  const type = name in UNREACHABLES[4] && name in UNREACHABLES[6] ? 'icmpx' : version === 4 ? 'icmp' : 'icmpv6';
  return `reject with ${type} type ${name}`;
}

/** The target that answers so; it has to be one of this family's answers. */
export function iptablesTarget(answer: Answer, version: Family): string {
  if (answer === 'drop') return '-j DROP';
  const words: Readonly<Record<string, string>> = UNREACHABLES[version];
  return `-j REJECT --reject-with ${answer === 'reset' ? 'tcp-reset' : words[answer.slice('icmp '.length)]}`;
}

function unreachable(name: string, version: Family): Answer | undefined {
  return Object.hasOwn(UNREACHABLES[version], name) ? `icmp ${name as Unreachable}` : undefined;
}
