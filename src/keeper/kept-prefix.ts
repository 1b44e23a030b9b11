/**
 * By how many bits IPv6 sources are kept, from one start to the next. Grants, bans and leaves are networks of one length: under another
 * nobody could find or end them, and some would hold for neighbours. So the length that they were made with is remembered, the guard is put in
 * force with it once more when the configuration says another, and they are ended before it changes.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import type { FactRows } from '../store/rows.ts';

const NAME = 'ipv6_prefix';

/** What ends for it, in the record. */
export const ANOTHER_PREFIX = 'another ipv6_prefix';

/** The configuration with the length that stands; the same object where it is no other. */
export function withKeptPrefix(facts: FactRows, config: PosternConfig): PosternConfig {
  const kept = Number(facts.get({ name: NAME })?.value ?? config.firewall.ipv6Prefix);
  const isOther = Number.isInteger(kept) && kept >= 1 && kept <= 128 && kept !== config.firewall.ipv6Prefix;
  return isOther ? { ...config, firewall: { ...config.firewall, ipv6Prefix: kept } } : config;
}

export function keepPrefix(facts: FactRows, { firewall: { ipv6Prefix } }: PosternConfig): void {
  const value = String(ipv6Prefix);
  if (facts.get({ name: NAME })?.value !== value) facts.put({ name: NAME, value });
}
