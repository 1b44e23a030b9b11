/**
 * The history that a daemon has left, read from its state when nobody answers at its socket. The state is only looked at, in a copy that is gone
 * at once (`store/reading.ts`): what a daemon that was killed had not yet moved out of its log is there, and nothing is changed.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LogRequest } from '../control/client.ts';
import { parseSince } from '../control/request.ts';
import { type WireEntry, wireEntry } from '../control/wire-event.ts';
import { parseAddress, printAddress } from '../core/address.ts';
import type { HistoryType } from '../core/history.ts';
import { blockOf } from '../core/policy.ts';
import { wallNow } from '../platform/clock.ts';
import type { HistoryQuery } from '../store/history-store.ts';
import { readDatabase } from '../store/reading.ts';
import { openSqliteHistory } from '../store/sqlite-history.ts';
import { STATE_FILE } from '../store/state.ts';

export interface PastLog {
  readonly file: string;
  readonly entries: readonly WireEntry[];
}

/** What the daemon would have answered; undefined when there is no state in the folder, or none for this user. Throws when it cannot be read. */
export function readPastLog(folder: string, ipv6Prefix: number, asked: LogRequest): PastLog | undefined {
  const file = join(folder, STATE_FILE);
  if (!existsSync(file)) return undefined;
  const { door, source, types, since, limit = 100 } = asked;
  const moment = since === undefined ? undefined : parseSince(since, wallNow());
  const query: HistoryQuery = {
    ...(door !== undefined && { door }),
    ...(source !== undefined && { sources: namesOf(source, ipv6Prefix) }),
    ...(types && { types: types as readonly HistoryType[] }),
    ...(moment !== undefined && { since: moment }),
  };
  const found = readDatabase(file, (database) => openSqliteHistory(database).latest(query, limit));
  return { file, entries: found.toReversed().map(wireEntry) };
}

/** How events name a source: by its address, and by the network that it is let in or banned with. */
function namesOf(text: string, ipv6Prefix: number): readonly string[] {
  const [source = ''] = text.split('/');
  const address = parseAddress(source);
  return address ? [source, printAddress(blockOf(address, ipv6Prefix).address)] : [source];
}
