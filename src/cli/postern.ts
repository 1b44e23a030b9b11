/** postern: the command for people. One file per subcommand, listed here. Exit status: 0 done, 1 failed, 2 usage. */

import { Command } from 'commander';
import { reasonOf } from '../keeper/journal.ts';
import { addApply } from './apply.ts';
import { controlOptions } from './ask.ts';
import { addAttackers } from './attackers.ts';
import { addCheck } from './check.ts';
import { addClose } from './close.ts';
import { addCompletion } from './completion.ts';
import { addConfirm } from './confirm.ts';
import { addDoctor } from './doctor.ts';
import { addFilter } from './filter.ts';
import { addImport } from './import.ts';
import { addInit } from './init.ts';
import { addKnock } from './knock-command.ts';
import { addLog } from './log.ts';
import { addOpen } from './open.ts';
import { Unanswered } from './question.ts';
import { addReload } from './reload.ts';
import { addRollback } from './rollback.ts';
import { addShow } from './show.ts';
import { addAllow, addBan, addDisallow, addUnban } from './source-commands.ts';
import { addStatus } from './status.ts';
import { type Terminal, thisTerminal } from './terminal.ts';
import { readVersion } from './version.ts';
import { addWatch } from './watch.ts';

/** In the order of `--help`, of the manual and of the completions, which are all made of it. */
const SUBCOMMANDS = [
  addStatus,
  addShow,
  addOpen,
  addClose,
  addAllow,
  addDisallow,
  addBan,
  addUnban,
  addAttackers,
  addLog,
  addWatch,
  addInit,
  addCheck,
  addDoctor,
  addApply,
  addConfirm,
  addReload,
  addImport,
  addKnock,
  addFilter,
  addCompletion,
  addRollback,
] as const;

/** The whole command line; `end` is told the exit status of what ran. */
export function posternProgram(end: (status: number) => void, terminal: Terminal): Command {
  const { stdout, stderr } = terminal;
  const program = new Command('postern')
    .description('Makes ports disappear and opens them to whoever brings the right knock')
    .version(readVersion())
    .enablePositionalOptions()
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'postern: ')),
    });
  for (const option of controlOptions()) program.addOption(option);
  for (const add of SUBCOMMANDS) add(program, end, terminal);
  return program;
}

/** Runs one subcommand; resolves to the exit status. */
export async function main(argv: readonly string[], terminal: Terminal = thisTerminal()): Promise<number> {
  let status = 0;
  const program = posternProgram((ended) => {
    status = ended;
  }, terminal);
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof Unanswered) {
      terminal.stderr.write('postern: Ended at a question: nothing was put in force\n');
      return error.status;
    }
    const { code, exitCode } = error as { code?: string; exitCode?: number };
    if (code === undefined || !code.startsWith('commander.')) throw error;
    status = exitCode === 0 ? 0 : 2;
  }
  const failure = status === 0 ? await terminal.outputFailure?.() : undefined;
  if (failure === undefined) return status;
  terminal.stderr.write(`postern: Cannot write to the standard output: ${reasonOf(failure)}\n`);
  return 1;
}
