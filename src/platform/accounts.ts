/**
 * Which user ids our unprivileged programs run under. Who has the same id can send signals, so the watcher shares its own with nobody:
 * `postern` if passwd(5) has it, else a number that no one is given; the tarpit has another such number. Lookups, which may not touch the watcher either, are `nobody`.
 */

import { readFileSync } from 'node:fs';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const NOBODY: Account = { uid: 65534, gid: 65534 };

/**
 * Below `nobody`, above what systemd gives to services and containers (61184 to 65519), in a range that distributions leave alone, and
 * within the 65536 ids of a usual user namespace.
 */
const PRIVATE_IDS = [65527, 65526, 65525, 65524, 65523, 65522, 65521, 65520] as const;

/**
 * Who the watcher is. `nobody` only where every private number has been given to somebody. Never of the group `postern`, which useradd(8)
 * gives to a user of that name: its members may open doors over the control socket.
 */
export function watcherAccount(passwd = readList('/etc/passwd'), group = readList('/etc/group')): Account {
  const postern = accountNamed('postern', passwd);
  if (!postern) return privateAccount(passwd, group, []);
  const mayAsk = new RegExp(`^postern:[^:]*:${postern.gid}:`, 'm').test(group);
  return mayAsk ? { uid: postern.uid, gid: privateAccount(passwd, group, []).gid } : postern;
}

/** Who the tarpit is: not the watcher. */
export function tarpitAccount(passwd = readList('/etc/passwd'), group = readList('/etc/group')): Account {
  const { uid, gid } = watcherAccount(passwd, group);
  return privateAccount(passwd, group, [uid, gid]);
}

/** A number that nobody has been given, and that is none of `taken`. */
function privateAccount(passwd: string, group: string, taken: readonly number[]): Account {
  const given = [...`${passwd}\n${group}`.matchAll(/^[^:\n]*:[^:\n]*:(\d+):(?:(\d+):)?/gm)].flatMap((ids) =>
    ids.slice(1),
  );
  const id = PRIVATE_IDS.find((candidate) => !given.includes(String(candidate)) && !taken.includes(candidate));
  return id === undefined ? lookupAccount(passwd) : { uid: id, gid: id };
}

/** Who asks for names: `nobody`. */
export function lookupAccount(passwd = readList('/etc/passwd')): Account {
  return accountNamed('nobody', passwd) ?? NOBODY;
}

function accountNamed(name: string, passwd: string): Account | undefined {
  const match = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(passwd);
  const account = match && { uid: Number(match[1]), gid: Number(match[2]) };
  return account && account.uid !== 0 ? account : undefined;
}

/** Empty in a container without users. */
function readList(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The number of a group, from group(5); undefined when the machine has no such group. */
export function groupId(name: string): number | undefined {
  let groups = '';
  try {
    groups = readFileSync('/etc/group', 'utf8');
  } catch {
    // A container without groups.
  }
  const fields = groups.split('\n').map((line) => line.split(':'));
  const number = fields.find(([found]) => found === name)?.[2];
  return number !== undefined && /^\d+$/.test(number) ? Number(number) : undefined;
}

/** The name of a user, from passwd(5), if it is of the usual letters; undefined when the file has none. */
export function userName(uid: number): string | undefined {
  let users = '';
  try {
    users = readFileSync('/etc/passwd', 'utf8');
  } catch {
    // A container without users.
  }
  const fields = users.split('\n').map((line) => line.split(':'));
  const name = fields.find(([, , number]) => number === String(uid))?.[0];
  return name !== undefined && /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/.test(name) ? name : undefined;
}
