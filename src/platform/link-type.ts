/** What kind of link layer an interface has, for people: sysfs's `type`, an ARPHRD number (<linux/if_arp.h>). */

import { readFileSync } from 'node:fs';

export type LinkKind = 'ethernet' | 'cooked' | 'raw';

const ETHERNET_LIKE = [1, 772];
const PPP = 512;

/** `any` is cooked, as it is for libpcap; what cannot be read counts as Ethernet. */
export function linkKindOf(name: string): LinkKind {
  if (name === 'any') return 'cooked';
  let type: number;
  try {
    type = Number(readFileSync(`/sys/class/net/${name}/type`, 'utf8'));
  } catch {
    return 'ethernet';
  }
  if (type === PPP) return 'cooked';
  return ETHERNET_LIKE.includes(type) ? 'ethernet' : 'raw';
}
