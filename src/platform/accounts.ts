/** Which user id the watcher runs under, from passwd(5): `postern` if the machine has it, else `nobody`. */

import { readFileSync } from 'node:fs';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const NOBODY: Account = { uid: 65534, gid: 65534 };

export function unprivilegedAccount(): Account {
  let passwd = '';
  try {
    passwd = readFileSync('/etc/passwd', 'utf8');
  } catch {
    // A container without users.
  }
  for (const name of ['postern', 'nobody']) {
    const match = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(passwd);
    const account = match && { uid: Number(match[1]), gid: Number(match[2]) };
    if (account && account.uid !== 0) return account;
  }
  return NOBODY;
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
