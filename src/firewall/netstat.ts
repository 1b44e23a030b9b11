/**
 * TCP sessions as the BSDs' `netstat -an -p tcp` prints them (netstat(1)), where there is no /proc: for the drivers of ipfw and pf.
 * The format is read as the manuals of FreeBSD, OpenBSD and macOS show it: address and port joined by a dot.
 */

import { type Address, parseAddress, printAddress } from '../core/address.ts';
import { contains, type PortRange, type Prefix } from '../core/policy.ts';
import { runTool } from './tool.ts';

export interface NetstatSession {
  readonly local: Address;
  readonly port: number;
  readonly source: Address;
  readonly sourcePort: number;
}

const CONNECTED = /^(ESTABLISHED|SYN_RCVD|FIN_WAIT_[12]|CLOSE_WAIT|LAST_ACK|CLOSING)$/;

/** Connected sessions; listening sockets and lines that are none are passed over. */
export function parseNetstat(text: string): NetstatSession[] {
  return text.split('\n').flatMap((line): NetstatSession[] => {
    const [protocol = '', , , here = '', there = '', state = ''] = line.trim().split(/\s+/);
    if (!/^tcp(4|6|46)?$/.test(protocol) || !CONNECTED.test(state)) return [];
    const [local, peer] = [parseEnd(here), parseEnd(there)];
    if (local === undefined || peer === undefined) return [];
    return [{ local: local.address, port: local.port, source: peer.address, sourcePort: peer.port }];
  });
}

function parseEnd(text: string): { readonly address: Address; readonly port: number } | undefined {
  const [, host = '', digits = ''] = /^(.+)\.(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(host.replace(/%.*$/, ''));
  const port = Number(digits);
  return address === undefined || port > 65_535 ? undefined : { address, port };
}

/** `folder` has the programs in tests; else they are found by PATH. */
export async function netstatSessions(folder: string): Promise<NetstatSession[]> {
  // Narrow columns cut IPv6 addresses off; -W is another thing on OpenBSD, which does not cut.
  const options = process.platform === 'openbsd' ? '-an' : '-anW';
  return parseNetstat(await runTool([`${folder}netstat`, options, '-p', 'tcp']));
}

/** Resets the sessions of a source on these ports by tcpdrop(8). Says what it could not do. */
export async function dropSessions(
  folder: string,
  source: Prefix,
  ports: readonly PortRange[],
): Promise<string | undefined> {
  const onPort = (port: number): boolean =>
    ports.some(({ protocol, first, last }) => protocol === 'tcp' && first <= port && port <= last);
  try {
    const sessions = await netstatSessions(folder);
    for (const { local, port, source: peer, sourcePort } of sessions) {
      if (!onPort(port) || !contains(source, peer)) continue;
      const ends = [printAddress(local), `${port}`, printAddress(peer), `${sourcePort}`];
      await runTool([`${folder}tcpdrop`, ...ends]);
    }
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}
