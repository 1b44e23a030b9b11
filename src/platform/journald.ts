/**
 * The systemd journal through its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram an entry, never waiting.
 *
 * `NAME=value` and a newline for each field; a value that has a newline in it goes in the binary form, the name alone on its line, then the
 * value's length as 64 bits little-endian, the value and a newline. So no value can pass for another field.
 */

import { fstatSync } from 'node:fs';
import { openUnixDatagrams } from './unix-datagrams.ts';

/** Names are capital letters, digits and "_", and begin with a letter; fields without a value are left out. */
export type JournaldFields = Readonly<Record<string, string | undefined>>;

export interface Journald {
  /** Sends one entry; false when the journal does not take it. */
  write(fields: JournaldFields): boolean;
  close(): void;
}

/** Connects when there is something to say, and anew when the journal was restarted. */
export function openJournald(path = '/run/systemd/journal/socket'): Journald {
  const { send, close } = openUnixDatagrams(path);
  return { write: (fields) => send(encodeJournald(fields)), close };
}

/** Has systemd connected this descriptor to the journal? sd-daemon(3): JOURNAL_STREAM is its device and inode. */
export function leadsToJournal(fd: number, env: NodeJS.ProcessEnv = process.env): boolean {
  try {
    const { dev, ino } = fstatSync(fd);
    return env.JOURNAL_STREAM === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** The datagram of an entry. */
export function encodeJournald(fields: JournaldFields): Uint8Array {
  const text = new TextEncoder();
  const parts = Object.entries(fields).flatMap(([name, value]): readonly Uint8Array[] => {
    if (value === undefined) return [];
    if (!value.includes('\n')) return [text.encode(`${name}=${value}\n`)];
    const bytes = text.encode(value);
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
    return [text.encode(`${name}\n`), length, bytes, text.encode('\n')];
  });
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
