/** The SSH session that a command was called from: what sshd says in SSH_CONNECTION, of this process or of one above it (sudo hides it). */

import { readFileSync } from 'node:fs';
import { type Address, parseAddress } from '../core/address.ts';

export interface SshSession {
  /** The client, and its port. */
  readonly source: Address;
  readonly sourcePort: number;
  /** This machine as the client knows it, and sshd's port. */
  readonly server: string;
  readonly port: number;
}

/** Processes above us that are looked at. */
const MOST_PARENTS = 32;

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined at the console, and where what sshd says is not understood (then `isOverSsh`). */
export function callersSession(environment: Environment): SshSession | undefined {
  return parseConnection(connectionText(environment) ?? '');
}

/** Was the command called over SSH, as far as can be told? */
export function isOverSsh(environment: Environment): boolean {
  return connectionText(environment) !== undefined;
}

function connectionText(environment: Environment): string | undefined {
  return environment.SSH_CONNECTION ?? parentsConnection();
}

/** `192.0.2.7 50123 198.51.100.2 22`, as sshd(8) writes it. */
export function parseConnection(text: string): SshSession | undefined {
  const [from = '', fromPort = '', server = '', port = ''] = text.trim().split(' ');
  const source = parseAddress(from.replace(/%.*$/, ''));
  if (!source || !/^\d{1,5}$/.test(fromPort) || !/^\d{1,5}$/.test(port) || server === '') return undefined;
  return { source, sourcePort: Number(fromPort), server, port: Number(port) };
}

function parentsConnection(): string | undefined {
  let pid = process.ppid;
  for (let count = 0; count < MOST_PARENTS && pid > 1; count += 1) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
      const found = environment.find((entry) => entry.startsWith('SSH_CONNECTION='));
      if (found !== undefined) return found.slice('SSH_CONNECTION='.length);
      pid = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
    } catch {
      return undefined;
    }
  }
  return undefined;
}
