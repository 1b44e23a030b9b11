/** What `postern apply` is to put in force, and what is in force before: the file, the daemon, and the difference for people. */

import type { Command } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { ControlError, connectControl } from '../control/client.ts';
import { preflight } from '../firewall/preflight.ts';
import { readApplied, readStanding } from '../store/pending-change.ts';
import { refused } from './ask.ts';
import { DEFAULT_CONFIG, runningSocket } from './daemon-socket.ts';
import { hintForMissing } from './first-file.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { paintFor, type Terminal } from './terminal.ts';
import { diffLines } from './text-diff.ts';
import { judgeInterfaces } from './ways-in.ts';

export interface Proposal {
  /** The file, as it was named; and in full. */
  readonly shown: string;
  readonly file: string;
  readonly config: PosternConfig;
  readonly text: string;
  /** What there is to say of the file, and was said. */
  readonly complaints: readonly string[];
  /** Does a daemon run? */
  readonly running: boolean;
  /** The text that is in force; undefined when nothing is. */
  readonly previous: string | undefined;
}

/** Undefined when the file has an error, which is told then. Throws a `ControlError` when nothing can be put in force. */
export async function readProposal(command: Command, { stderr }: Terminal): Promise<Proposal | undefined> {
  if (process.geteuid?.() !== 0) throw refused('Only root can put a configuration in force', 'Run it with sudo');
  const { config: shown = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
  const file = absolute(shown);
  const loaded = loadPosternToml(file, { shownAs: shown, strict: false });
  const { config, text, complaints } = loaded;
  for (const line of [...complaints, ...hintForMissing(loaded, shown)]) stderr.write(`${line}\n`);
  if (!config || text === undefined) return undefined;
  const running = await isRunning(config);
  const elsewhere = running ? undefined : runningSocket();
  if (elsewhere !== undefined) {
    throw refused(
      `The daemon that guards this host listens at ${elsewhere}, not where ${shown} says: that changes with its next start`,
      'Put the old [state] dir and [control] socket back, or stop the daemon, then apply',
    );
  }
  const previous = textInForce({ config, running });
  if (running && previous === undefined)
    throw refused('It is not known what the daemon has in force', 'Start posternd anew, then apply');
  return { shown, file, config, text, complaints, running, previous };
}

/** A daemon that died has left its guard: that is in force, too. */
export function textInForce({ config, running }: Pick<Proposal, 'config' | 'running'>): string | undefined {
  return running ? readApplied(config.state.dir) : readStanding(config.state.dir);
}

/** The difference, what would bite, and who starts the daemon. */
export async function describeProposal(proposal: Proposal, terminal: Terminal): Promise<readonly string[]> {
  const { config, text, previous = '', running } = proposal;
  const paint = paintFor(terminal.stdout, terminal.environment);
  const lines = diffLines(previous, text).map((line) =>
    line.startsWith('+') ? paint('green', line) : line.startsWith('-') ? paint('red', line) : line,
  );
  const ways = [...judgeInterfaces(config, terminal)].filter(({ status }) => status !== 'ok');
  const found = await preflight(config.doors, config.firewall.face, config.firewall.driver);
  const bites = [...ways, ...found.filter(({ severity }) => severity !== 'note')];
  return [
    ...lines,
    ...bites.flatMap(({ message, hint = '' }) => [`warning: ${message}`, `hint: ${hint}`]),
    ...(running ? [] : ['No daemon runs: posternd will be started']),
  ];
}

export async function isRunning({ control }: PosternConfig): Promise<boolean> {
  try {
    using client = await connectControl(control.socket);
    await client.status();
    return true;
  } catch (error) {
    if (error instanceof ControlError && error.problem === 'no-daemon') return false;
    throw error;
  }
}
