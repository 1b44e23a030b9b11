/**
 * IPv6 flow labels (RFC 6437) of refusals: the kernel labels the resets that it sends by itself, and leaves those of nft's `reject` without
 * (net/ipv6/netfilter/nf_reject_ipv6.c), which would tell a guarded port from an unused one. So ours get a label on their way out, by
 * a hash of addresses and ports, as the kernel's have one.
 */

import { readFileSync } from 'node:fs';
import { feedProgram } from '../platform/process.ts';

/** How this host labels its resets; see `net.ipv6` in ip-sysctl. */
export interface FlowLabels {
  /** With flowlabel_state_ranges: the upper half of the labels, for flows without a state. */
  readonly upperHalf: boolean;
}

/** Of auto_flowlabels: on for all that do not opt out, and on for all. */
const ON = [1, 3];
/** Of flowlabel_reflect: resets repeat the label of what they answer. That is not imitated. */
const REFLECTS_IN_RESETS = 2;
const LIMITS = { timeout: 5000, limit: 1 };

/** Undefined when they have none, or one that we can not give: nft and this kernel have to know `jhash`. */
export async function flowLabels(): Promise<FlowLabels | undefined> {
  const labels = labelsAsSet(readSetting);
  if (!labels) return undefined;
  const rules = `table inet postern-try {\n chain labels {\n ${labelRule(labels, ['1'])}\n }\n}\n`;
  const { ending } = await feedProgram(['nft', '-c', '-f', '-'], rules, LIMITS);
  return 'status' in ending && ending.status === 0 ? labels : undefined;
}

/** The labels that these settings make; the kernel's defaults stand for what cannot be read. */
export function labelsAsSet(read: (name: string) => number | undefined): FlowLabels | undefined {
  if (!ON.includes(read('auto_flowlabels') ?? 1)) return undefined;
  if (((read('flowlabel_reflect') ?? 0) & REFLECTS_IN_RESETS) !== 0) return undefined;
  return { upperHalf: (read('flowlabel_state_ranges') ?? 0) !== 0 };
}

/** For a chain at the output hook: labels resets from these ports that have neither label nor traffic class. Ports as nft writes them. */
export function labelRule({ upperHalf }: FlowLabels, ports: readonly string[]): string {
  const [count, first] = upperHalf ? [0x8_0000, 0x8_0000] : [0x10_0000, 0];
  const label = `jhash ip6 saddr . ip6 daddr . tcp sport . tcp dport mod ${count} offset ${VERSION_6 + first}`;
  return `@nh,0,32 ${VERSION_6} tcp flags & rst == rst tcp sport { ${ports.join(', ')} } @nh,0,32 set ${label}`;
}

/** The first word of a header: the version, and nothing yet of traffic class and label (RFC 8200 § 3). */
const VERSION_6 = 0x6000_0000;

function readSetting(name: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/net/ipv6/${name}`, 'utf8'));
  } catch {
    return undefined;
  }
}
