/**
 * What this host answers strangers at TCP and UDP ports that nobody uses, by its own rules: nmap tells a guarded port from an unused one
 * by any difference. It is asked for every kind of packet that its scans send; what the rules do not tell for certain is no answer.
 */

import type { Family } from '../core/address.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import { type Answer, type Answers, type HostAnswers, REFUSING } from './answers.ts';
import { type HostListing, isEmpty, listHost } from './host-listing.ts';
import type { Fate, Probe } from './host-rules.ts';
import { outcomes } from './host-verdict.ts';

/** tcpmux, which nobody runs; where `mirror` leads to. */
export const UNUSED_PORT = 1;

/** A kind of packet that scans send. */
export type Kind = Exclude<keyof Answers, 'own'>;

const PROBES: Readonly<Record<Kind, readonly Pick<Probe, 'protocol' | 'state' | 'flags'>[]>> = {
  tcp: [{ protocol: 'tcp' }],
  midstream: [{ protocol: 'tcp', flags: ['ack'] }],
  // Of FIN, NULL, Xmas and Maimon scans, and SYN+ACK out of nowhere.
  invalid: ([['fin'], [], ['fin', 'psh', 'urg'], ['fin', 'ack'], ['syn', 'ack']] as const).map((flags) => ({
    protocol: 'tcp',
    state: 'invalid',
    flags,
  })),
  udp: [{ protocol: 'udp' }],
};

/** Asks this host. Undefined when its rules can not be read. Never throws. */
export async function probeAnswers(list = listHost): Promise<HostAnswers | undefined> {
  return judgeAnswers(await list(), defaultRouteInterfaces());
}

/** `probeAnswers` from listings, for strangers that come in by these interfaces. */
export function judgeAnswers(listing: HostListing, from: readonly string[] = []): HostAnswers | undefined {
  if (isEmpty(listing)) return undefined;
  return { 4: answersOver(4, listing, from), 6: answersOver(6, listing, from) };
}

/** What packets of this kind get for certain; undefined when the rules do not tell. */
export function certainAnswer(
  kind: Kind,
  version: Family,
  listing: HostListing,
  from: readonly string[] = [],
): Answer | undefined {
  return answerOf(kind, fateOf(kind, version, listing, from));
}

function answersOver(version: Family, listing: HostListing, from: readonly string[]): Answers {
  const fate = (kind: Kind): Fate => fateOf(kind, version, listing, from);
  const fates = { tcp: fate('tcp'), midstream: fate('midstream'), invalid: fate('invalid'), udp: fate('udp') };
  const answer = (kind: Kind): Answer => answerOf(kind, fates[kind]) ?? 'drop';
  const answers = {
    tcp: answer('tcp'),
    midstream: answer('midstream'),
    invalid: answer('invalid'),
    udp: answer('udp'),
  };
  const byTcp = [fates.tcp, fates.midstream, fates.invalid];
  return byTcp.includes('accept') && !byTcp.includes('reset') ? { ...answers, own: true } : answers;
}

/** What becomes of every packet of this kind; `unknown`, too, where they do not all meet the same end. */
function fateOf(kind: Kind, version: Family, listing: HostListing, from: readonly string[]): Fate {
  if (listing.unread?.includes(version)) return 'unknown';
  const fates = new Set(
    PROBES[kind].flatMap((probe) => [
      ...outcomes(listing, { version, port: UNUSED_PORT, stranger: true, from, ...probe }),
    ]),
  );
  const [only = 'unknown'] = fates;
  return fates.size > 1 ? 'unknown' : only;
}

function answerOf(kind: Kind, fate: Fate): Answer | undefined {
  if (fate === 'unknown') return undefined;
  // What passes every chain is refused by the kernel itself.
  return fate === 'accept' ? REFUSING[kind] : fate;
}

/**
 * Do these rules treat what NAT has led to an unused port otherwise than what came for it? Then `mirror` shows which ports are
 * guarded: firewalld and others let in whatever DNAT has changed.
 */
export function favoursLed(listing: HostListing): boolean {
  const probe = { protocol: 'tcp', port: UNUSED_PORT, stranger: true } as const;
  return ([4, 6] as const).some((version) => {
    const [plain, led] = [false, true].map((led) => outcomes(listing, { ...probe, version, led }));
    return plain!.size !== led!.size || [...plain!].some((fate) => !led!.has(fate));
  });
}
