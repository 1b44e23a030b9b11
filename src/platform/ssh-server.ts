/**
 * Where this host's SSH server can be reached: the ports that a process of it listens on (proc(5)), else those that its configuration names
 * (`sshd -T`). Not the ports that sessions forward: their listeners are at loopback addresses, or of a session's own process.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isLoopback } from '../core/address.ts';
import { listenersFromDiag, listenersFromProc } from './listeners.ts';
import { feedProgram } from './process.ts';

export interface SshPorts {
  /** Ascending, each once. */
  readonly ports: readonly number[];
  /** Whose word it is: a process that listens, or the configuration. */
  readonly by: 'listener' | 'configuration';
}

const SERVERS = ['sshd', 'dropbear'];
const LIMITS = { timeout: 5000, limit: 65_536 };

/** Undefined where there is no SSH server, or nobody may look. */
export async function sshPorts(): Promise<SshPorts | undefined> {
  const listening = listenedPorts();
  if (listening.length > 0) return { ports: listening, by: 'listener' };
  // systemd may hold the socket for a server that does not run yet.
  const { ending, output } = await feedProgram(['sshd', '-T'], '', LIMITS);
  const configured = 'status' in ending && ending.status === 0 ? configuredPorts(output) : [];
  return configured.length > 0 ? { ports: configured, by: 'configuration' } : undefined;
}

/** From what `sshd -T` prints. */
export function configuredPorts(text: string): readonly number[] {
  return ascending([...text.matchAll(/^port (\d+)$/gm)].map(([, port]) => Number(port)));
}

function listenedPorts(): readonly number[] {
  const held = new Set(serverProcesses().flatMap(socketsOf));
  return ascending(
    (listenersFromDiag() ?? listenersFromProc())
      .filter(({ address, inode }) => inode !== undefined && held.has(inode) && !isLoopback(address))
      .map(({ port }) => port),
  );
}

function serverProcesses(): readonly string[] {
  return namesIn('/proc').filter(
    (pid) => /^\d+$/.test(pid) && isServer(read(`/proc/${pid}/comm`).trim(), read(`/proc/${pid}/cmdline`)),
  );
}

/** A session's process calls itself "sshd: alice@pts/0", the server "sshd: /usr/sbin/sshd -D [listener] …". */
export function isServer(command: string, title: string): boolean {
  return SERVERS.includes(command) && (!title.startsWith('sshd: ') || title.includes('[listener]'));
}

function socketsOf(pid: string): readonly number[] {
  return namesIn(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
      return inode === undefined ? [] : [Number(inode)];
    } catch {
      return [];
    }
  });
}

function ascending(ports: readonly number[]): readonly number[] {
  return [...new Set(ports)].sort((x, y) => x - y);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
