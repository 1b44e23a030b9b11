/**
 * The part of the nftables guard that leads TCP of banned sources to the tarpit's port instead of dropping it.
 *
 * - The ban lets go of one thing: TCP to an address of this host. The nat chain, before all others, leads what is new of it to the port; a
 *   chain behind NAT drops whatever of a banned source is not on its way there: sessions older than the ban, and what somebody
 *   else's DNAT has led elsewhere.
 * - Each asks the sets itself, trusted sources first, as the ban does: no mark is relied upon, which other rules could set or clear.
 * - Whom a ban has let go keeps the connection that he is held by, until the tarpit ends it.
 */

import type { Guard } from './driver.ts';
import type { Chain } from './nft-rules.ts';

const HELD = 'meta l4proto tcp fib daddr type local';

/** The rules of the ban that come before its drop. */
export function releasedToPit({ tarpit, observe }: Guard): string[] {
  return tarpit === undefined || observe ? [] : [`${HELD} accept`];
}

/** `banned` are the matches that a banned source fulfils one of. */
export function pitChains({ tarpit, observe }: Guard, banned: readonly string[]): Chain[] {
  if (tarpit === undefined || observe) return [];
  const base = (name: string, type: string, priority: number): Chain => ({
    name,
    head: [`type ${type} hook prerouting priority ${priority}; policy accept;`],
    // The ban is not for answers to what we have begun; nat never asks of them.
    rules: ['iif "lo" return', 'ct direction reply return', ...banned.map((match) => `${match} goto ${name}_banned`)],
  });
  return [
    { name: 'pit_banned', head: [], rules: ['jump trusted', `${HELD} redirect to :${tarpit}`] },
    base('pit', 'nat', BEFORE_DNAT),
    {
      name: 'kept_banned',
      head: [],
      rules: ['jump trusted', `tcp dport ${tarpit} fib daddr type local accept`, 'drop'],
    },
    base('kept', 'filter', BEHIND_DNAT),
  ];
}

/** Before the chain of face `mirror`, too. */
const BEFORE_DNAT = -102;
/** The kernel translates at -100 (NF_IP_PRI_NAT_DST), whatever the priority of a nat chain. */
const BEHIND_DNAT = -99;
