/**
 * Does an SSH session prove the way in of what is on trial? It does when it began after the change took effect, and its address has come
 * through a door that protects the session's own port by a grant made since: a right knock, or, where nobody can knock, a grant by hand. Of a port
 * that no door protects, any door counts.
 *
 * Grants from before the change prove nothing, nor do those that a daemon found standing, nor other doors, nor that the session lives: who
 * applies is let in meanwhile. What the daemon wrote down is compared by the number of the record, so that no clock plays a part.
 */

import type { ControlClient, ControlError, WireStatus } from '../control/client.ts';
import { parseAddress, printAddress, sameAddress } from '../core/address.ts';
import { networkOf } from '../core/policy.ts';
import type { PendingChange } from '../store/pending-change.ts';
import { refused } from './ask.ts';
import type { SshSession } from './ssh-session.ts';

/** What is asked of the daemon. */
export type Witness = Pick<ControlClient, 'status' | 'show' | 'log'>;

const MOST_ENTRIES = 1000;
const WAY_OUT = 'Knock (postern show DOOR says how), open a new session, and confirm there; or confirm at the console';

/** Throws a `ControlError`, with the way out, for a session that proves nothing. */
export async function judgeSession(session: SshSession, pending: PendingChange, witness: Witness): Promise<void> {
  const source = printAddress(session.source);
  if (pending.sessions.includes(`${source} ${session.sourcePort}`))
    throw refused('This session is older than the change: it says nothing about the new rules', WAY_OUT);
  const { doors } = await witness.status();
  const protecting = doors.filter(({ protect }) => protect.some((ports) => holds(ports, session.port)));
  // Where no door is in his way, the change cannot have shut him out: then whichever door opens shows that knocks are heard.
  const counting = protecting.length > 0 ? protecting : doors;
  const names = counting.map(({ name }) => name);
  const [effect] = await witness.log({ types: ['applied'], limit: 1 });
  if (effect?.reason !== pending.token)
    throw refused(
      'The daemon does not know of this change: nothing is proven yet',
      'See postern status; or confirm at the console',
    );
  const byHand = new Set<string>();
  for (const name of names) if ((await witness.show(name)).steps === undefined) byHand.add(name);
  // Asked by the address: the daemon knows for which network its grants are.
  const entries = await witness.log({ types: ['opened', 'renewed'], source, limit: MOST_ENTRIES });
  const since = entries.filter(({ id }) => id > effect.id);
  const proves = since.some(
    ({ door = '', via }) => names.includes(door) && (via === 'knock' || (via === 'hand' && byHand.has(door))),
  );
  if (!proves)
    throw whyNot(
      session,
      counting,
      since.map(({ door = '' }) => door),
    );
}

function whyNot(session: SshSession, doors: WireStatus['doors'], since: readonly string[]): ControlError {
  const source = printAddress(session.source);
  const names = doors.map(({ name }) => name).join(', ');
  const open = doors.find(({ grants }) =>
    grants.some((grant) => {
      const place = parseAddress(grant.source);
      if (!place) return false;
      const length = grant.prefix ?? (grant.source.includes(':') ? 128 : 32);
      return sameAddress(place, networkOf(session.source, length));
    }),
  );
  if (open && !since.includes(open.name))
    return refused(
      `The grant of ${source} is older than the change: it does not show that door ${open.name} opens now`,
      `End it (postern close ${open.name} ${source}) or wait until it is over; then knock, open a new session, and confirm there; or confirm at the console`,
    );
  if (open)
    return refused(
      `${source} was let in by hand, and has not knocked on door ${open.name} since the change: whether a knock opens it is not shown`,
      `End it (postern close ${open.name} ${source}), then knock, open a new session, and confirm there; or confirm at the console`,
    );
  return refused(`${source} has not knocked on door ${names} since the change: whether it opens is not shown`, WAY_OUT);
}

/** `tcp/22`, `tcp/8000-8010`. */
function holds(ports: string, port: number): boolean {
  const [, first = '', last = first] = /^tcp\/(\d+)(?:-(\d+))?$/.exec(ports) ?? [];
  return first !== '' && port >= Number(first) && port <= Number(last);
}
