/** How a keeper starts its confined programs: by itself, while it may; through its zygote, once it has given that up (`zygote.ts`). */

import type { Readable } from 'node:stream';
import type { CagedProgram } from '../core/zygote-messages.ts';
import type { Account } from '../platform/accounts.ts';
import { entry } from '../platform/entry.ts';
import { type ConnectedProgram, startConnected } from '../platform/process.ts';

export interface CagedStart {
  /** Who it is to become. */
  readonly account: Account;
  /** Besides that; descriptors are numbered from 4 on: 0 to 2 are the usual, 3 is the channel. */
  readonly args: readonly string[];
  /** One that is undefined could not be had, and fails the start. */
  readonly descriptors: readonly (number | Readable | undefined)[];
}

export type StartCaged = (
  program: CagedProgram,
  start: CagedStart,
) => ConnectedProgram & { readonly complaints: Readable | undefined };

export const FIRST_DESCRIPTOR = 4;

/** Stage one of a confined program, for whom this process is the parent. */
export function stageOne(program: string, { uid, gid }: Account): [string, ...string[]] {
  const { script } = entry('cage/confine');
  return [process.execPath, '--disable-sigusr1', script, String(process.pid), program, `${uid}:${gid}`];
}

export const startCaged: StartCaged = (program, { account, args, descriptors }) =>
  startConnected([...stageOne(`${program}/main`, account), ...args], {
    descriptors,
    argv0: `postern-${program}`,
    uid: account.uid,
  });
