/**
 * Reads the knock vectors of test/vectors: Markdown, one vector under each `##` heading.
 *
 *     knockd: opens A                        what knockd 0.8 does with these packets; or `knockd: does not open`
 *     ```conf                                doors as in knockd.conf, and `strays`; without it, two are forgiven
 *     ```packets                             MS SOURCE [-> DESTINATION] tcp/PORT [FLAGS] [again], or MS timer
 *     ```events                              MS SOURCE DOOR what
 *
 * Without a destination a packet goes to 192.0.2.1; local are 192.0.2.1, 192.0.2.2 and 2001:db8::1. TCP packets are bare SYNs unless
 * flags are named (`syn+ack`, `null`). Each has a source port and sequence number of its own; `again` is an exact copy of the
 * source's last packet to that port, as a retransmission is.
 */

import { readFileSync } from 'node:fs';
import { parseAddress, printAddress } from '../../src/core/address.ts';
import { ACK, type Door, FIN, PSH, RST, SYN, URG } from '../../src/core/door.ts';
import type { Packet } from '../../src/core/packet.ts';
import { address, packet, steps } from './knocks.ts';

export const LOCAL_ADDRESSES = ['192.0.2.1', '192.0.2.2', '2001:db8::1'].map(address);

export interface KnockVector {
  readonly name: string;
  readonly file: string;
  /** Names of the doors that knockd opens, in order. */
  readonly knockd: readonly string[];
  readonly doors: readonly Door[];
  /** Packets and, without one, looks at the clock. */
  readonly input: readonly { readonly time: number; readonly packet?: Packet }[];
  readonly events: readonly string[];
}

const FLAGS: Record<string, number> = { fin: FIN, syn: SYN, rst: RST, psh: PSH, ack: ACK, urg: URG, null: 0 };

export function readKnockVectors(path: URL): KnockVector[] {
  const file = path.pathname.split('/').at(-1) ?? '';
  const sections = readFileSync(path, 'utf8').split(/^## /m).slice(1);
  return sections.map((text) => {
    const name = text.split('\n', 1)[0]!.trim();
    const knockd = /^knockd: (?:opens (.+)|does not open)$/m.exec(text);
    if (!knockd) throw new Error(`${file}: ${name}: no knockd line`);
    return {
      name,
      file,
      knockd: knockd[1]?.split(', ') ?? [],
      doors: readDoors(block(text, 'conf')),
      input: readPackets(block(text, 'packets')),
      events: block(text, 'events'),
    };
  });
}

function block(text: string, kind: string): string[] {
  const found = new RegExp(`^\`\`\`${kind}\n([^]*?)^\`\`\`$`, 'm').exec(text);
  if (!found) throw new Error(`no ${kind} block in ${text.split('\n', 1)[0]}`);
  return found[1]!.split('\n').filter((line) => line !== '');
}

function readDoors(lines: readonly string[]): Door[] {
  const doors: { -readonly [Key in keyof Door]: Door[Key] }[] = [];
  for (const line of lines) {
    const section = /^\[(.+)\]$/.exec(line);
    const tcpFlags = { set: 0, clear: 0 };
    if (section) doors.push({ name: section[1]!, steps: [], window: 25_000, strays: 2, tcpFlags });
    const door = doors.at(-1)!;
    const [key = '', value = ''] = line.split('=').map((part) => part.trim());
    if (section) continue;
    if (key === 'sequence') door.steps = steps(value);
    else if (key === 'seq_timeout') door.window = Number(value) * 1000;
    else if (key === 'strays') door.strays = Number(value);
    else if (key === 'target') door.target = address(value);
    else if (key === 'tcpflags') door.tcpFlags = readFlags(value);
    else throw new Error(`unknown directive: ${line}`);
  }
  return doors;
}

function readFlags(value: string): { set: number; clear: number } {
  const flags = { set: 0, clear: 0 };
  for (const name of value.split(',')) flags[name.startsWith('!') ? 'clear' : 'set'] |= FLAGS[name.replace('!', '')]!;
  return flags;
}

function readPackets(lines: readonly string[]): KnockVector['input'] {
  const sent = new Map<string, Packet>();
  return lines.map((line) => {
    const found = /^(\d+) +(?:timer|(\S+)(?: -> (\S+))? +(tcp|udp)\/(\d+)(?: ([a-z+]+(?<!again)))?( again)?)$/.exec(
      line,
    );
    if (!found) throw new Error(`not a packet: ${line}`);
    const time = Number(found[1]);
    if (found[2] === undefined) return { time };
    const source = parseAddress(found[2]);
    if (!source) throw new Error(`not an address: ${line}`);
    const protocol = found[4] === 'udp' ? 'udp' : 'tcp';
    const port = Number(found[5]);
    const place = `${printAddress(source)} ${protocol}/${port}`;
    const copied = found[7] === undefined ? undefined : sent.get(place);
    if (found[7] !== undefined && !copied) throw new Error(`a copy of nothing: ${line}`);
    const flags =
      protocol === 'udp' ? 0 : (found[6] ?? 'syn').split('+').reduce((bits, name) => bits | FLAGS[name]!, 0);
    const destination = found[3] === undefined ? LOCAL_ADDRESSES[0]! : address(found[3]);
    const made = copied ?? packet(source, port, { protocol, destination, flags });
    sent.set(place, made);
    return { time, packet: made };
  });
}
