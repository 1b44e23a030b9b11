/**
 * Do closed ports still answer as the unused ports of this host do? What a guard answers was read from the host's rules when it was made
 * (`resolveFace`); where these were changed later, guarded ports stand out in a scan until somebody reloads.
 *
 * Of `auto` and `mirror` with nftables and iptables alone: other faces follow no host, and the rules of other firewalls are not read, or
 * nobody knows which of them are the guard's. What the host's rules do not tell for certain is no difference.
 */

import type { Family } from '../core/address.ts';
import type { DoorPolicy } from '../core/policy.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import { otherWork } from '../platform/timer.ts';
import type { Answer } from './answers.ts';
import { answersOf, type Faced } from './closed-port.ts';
import type { HostListing } from './host-listing.ts';
import type { Finding } from './preflight.ts';
import { certainAnswer, type Kind } from './unused-ports.ts';

export interface ClosedPorts {
  readonly doors: readonly DoorPolicy[];
  readonly driver: string;
  readonly observe: boolean;
  /** What the guard in force was made with. */
  readonly made: Faced;
}

/** In the order in which a scan would come upon them. */
const KINDS: readonly Kind[] = ['tcp', 'midstream', 'invalid', 'udp'];
/** New connections are handed to the host itself, and all other segments are answered alike. */
const MIRROR_KINDS: readonly Kind[] = ['invalid', 'udp'];

const PACKETS: Readonly<Record<Kind, string>> = {
  tcp: 'a SYN',
  midstream: 'an ACK of no session',
  invalid: 'a FIN of no session',
  udp: 'a datagram',
};

/** The first difference, as something to tell an administrator. Never throws. */
export async function judgeFace(
  closed: ClosedPorts,
  listing: HostListing,
  from: readonly string[] = defaultRouteInterfaces(),
): Promise<readonly Finding[]> {
  for (const version of [4, 6] as const) {
    if (!isRead(listing, closed.driver, version)) continue;
    for (const kind of kindsOf(closed)) {
      const unused = certainAnswer(kind, version, listing, from);
      const answer = answersOf(closed.made, version)[kind];
      if (unused !== undefined && unused !== answer) return [staleFinding(kind, version, unused, answer)];
      // A host can have thousands of rules, and a daemon has doors to open meanwhile.
      await otherWork();
    }
  }
  return [];
}

/** The kinds of packets that closed ports answer after the host's model. */
function kindsOf({ doors, observe, made: { face } }: ClosedPorts): readonly Kind[] {
  if (observe || (face !== 'auto' && face !== 'mirror')) return [];
  const closes = (asked: 'tcp' | 'udp'): boolean =>
    doors.some(({ protect }) => protect.some(({ protocol }) => protocol === asked));
  return (face === 'mirror' ? MIRROR_KINDS : KINDS).filter((kind) => closes(kind === 'udp' ? 'udp' : 'tcp'));
}

/** What the driver itself needs can be read: where its program fails, that does not mean that there are no rules. */
function isRead({ nft, iptables }: HostListing, driver: string, asked: Family): boolean {
  if (driver === 'nftables') return nft !== undefined;
  return driver === 'iptables' && iptables.some(({ version }) => version === asked);
}

function staleFinding(kind: Kind, version: Family, unused: Answer, closed: Answer): Finding {
  return {
    severity: 'warning',
    message: `What this host answers at unused ports is not what closed ports answer, so a scan sees which are guarded: over IPv${version} ${PACKETS[kind]} gets ${answerText(unused)} at unused ports, ${answerText(closed)} at closed ones`,
    hint: 'postern reload',
  };
}

function answerText(answer: Answer): string {
  if (answer === 'drop') return 'nothing';
  return answer === 'reset' ? 'a reset' : `ICMP ${answer.slice('icmp '.length)}`;
}
