/**
 * `postern confirm`: what is in force on trial stays. It counts from the console, and from an SSH session that is younger than the change and
 * whose address has knocked since: an old session lives on whatever the new rules are, and so says nothing about them.
 */

import type { Command } from 'commander';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { printAddress } from '../core/address.ts';
import { confirmPending, type PendingChange, readInterrupted, readPending } from '../store/pending-change.ts';
import { complain, controlCommand, withOrigin } from './ask.ts';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { unitOf } from './daemon-unit.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { callersSession, isOverSsh, type SshSession } from './ssh-session.ts';
import type { Terminal } from './terminal.ts';

export function addConfirm(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'confirm')
    .description(
      'keep the configuration that is in force on trial; from a new session that came in by knock, or the console',
    )
    .action(async (_: object, command: Command) => {
      try {
        const file = await confirm(command, terminal);
        terminal.stdout.write('confirmed: the new configuration stays\n');
        if ((await unitOf(file))?.enabled === false)
          terminal.stdout.write('hint: It does not start with this machine: systemctl enable posternd\n');
        end(0);
      } catch (error) {
        if (!(error instanceof ControlError)) throw error;
        complain(terminal, error.problem === 'no-daemon' ? withOrigin(error, command) : error);
        end(1);
      }
    });
}

/** Resolves to the file that stays. */
async function confirm(command: Command, terminal: Terminal): Promise<string> {
  if (process.geteuid?.() !== 0) throw new ControlError('no-permission', 'Only root can confirm', 'Run it with sudo');
  const { config: shown = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
  const file = absolute(shown);
  const { config, complaints } = loadPosternToml(file, { shownAs: shown, strict: false, starting: true });
  if (!config) throw new ControlError('refused', complaints.join('\n'));
  const { dir } = config.state;
  const pending = readPending(dir);
  if (!pending && readInterrupted(dir))
    throw new ControlError(
      'refused',
      'The machine went down during the trial: what was in force before is back',
      'Try it anew: postern apply',
    );
  if (!pending)
    throw new ControlError('refused', 'There is nothing to confirm', `Changes are put on trial by postern apply`);
  const session = callersSession(terminal.environment);
  if (!session && isOverSsh(terminal.environment)) {
    throw new ControlError(
      'refused',
      'This SSH session does not say where it comes from (SSH_CONNECTION)',
      'Confirm at the console',
    );
  }
  if (session) {
    using client = await connectControl(config.control.socket);
    await judge(session, pending, client);
  }
  if (!confirmPending(dir)) throw new ControlError('refused', 'It was too late: what was in force before is back');
  return file;
}

/** Throws a `ControlError` for a session that proves nothing. */
async function judge(session: SshSession, pending: PendingChange, client: ControlClient): Promise<void> {
  const source = printAddress(session.source);
  const wayOut = 'Knock, open a new session, and confirm there; or confirm at the console';
  if (pending.sessions.includes(`${source} ${session.sourcePort}`)) {
    throw new ControlError(
      'refused',
      'This session is older than the change: it says nothing about the new rules',
      wayOut,
    );
  }
  const { doors } = await client.status();
  const isOpen = doors.some(({ grants }) =>
    grants.some(({ source: place, prefix, via }) => via === 'knock' && isSame(place, prefix, source)),
  );
  const events = isOpen
    ? []
    : await client.log({ types: ['opened', 'renewed'], since: new Date(pending.since).toISOString(), limit: 1000 });
  const knocked = events.some(
    ({ source: place, via }) => via === 'knock' && place !== undefined && isSame(place, undefined, source),
  );
  if (!isOpen && !knocked) {
    throw new ControlError(
      'refused',
      `${source} has not knocked since the change: whether the door opens is not shown`,
      wayOut,
    );
  }
}

/** Grants of IPv6 are for networks, shown by their first address. */
function isSame(place: string, prefix: number | undefined, source: string): boolean {
  if (place === source) return true;
  return source.includes(':') && (prefix ?? 64) < 128 && place.endsWith('::') && source.startsWith(place.slice(0, -1));
}
