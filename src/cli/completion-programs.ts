/** Our other programs as the completions know them: name and options, from what their `--help` is made of. */

import { describeCommand, type OptionNode } from './command-tree.ts';
import { USAGE as KNOCK_USAGE } from './knock-options.ts';
import { USAGE as KNOCKD_USAGE } from './knockd-options.ts';
import { posterndProgram } from './posternd-command.ts';

export interface ProgramNode {
  readonly name: string;
  readonly options: readonly OptionNode[];
  /** Whether hosts follow. */
  readonly hosts: boolean;
}

export function otherPrograms(): readonly ProgramNode[] {
  return [
    { name: 'posternd', options: describeCommand(posterndProgram()).options, hosts: false },
    { name: 'knockd', options: fromUsage(KNOCKD_USAGE), hosts: false },
    { name: 'knock', options: fromUsage(KNOCK_USAGE), hosts: true },
  ];
}

/** Options whose value knockd's own text leaves out. */
const UNSAID = new Set(['--pidfile', '--logfile']);

function fromUsage(usage: string): readonly OptionNode[] {
  return usage.split('\n').flatMap((line) => {
    const [, words = '', description = ''] = /^ +(-\S.*?) {2,}(\S.*)$/.exec(line) ?? [];
    const names = words.split(/[ ,]+/).filter((word) => word.startsWith('-'));
    if (names.length === 0) return [];
    const argument = /<.*>/.exec(words)?.[0] ?? (names.some((name) => UNSAID.has(name)) ? '<file>' : undefined);
    const kind = argument === '<file>' || argument === '<dir>' ? 'file' : 'other';
    return [{ names, ...(argument !== undefined && { argument }), kind, choices: [], description }];
  });
}
