/** Completion for fish. */

import type { CommandNode, OptionNode } from './command-tree.ts';
import type { ProgramNode } from './completion-programs.ts';

export function fishCompletion(program: CommandNode, others: readonly ProgramNode[]): string {
  const { name, commands } = program;
  const names = commands.map((command) => command.name).join(' ');
  const lines = [
    `# fish completion of ${name}; made by "${name} completion fish"`,
    `function __${name}_doors`,
    '    set -l words (commandline -opc)',
    '    set -l config',
    '    for i in (seq (count $words))',
    '        if contains -- $words[$i] -c --config --socket; and test $i -lt (count $words)',
    '            set config $words[$i] $words[(math $i + 1)]',
    '        end',
    '    end',
    `    ${name} $config complete-doors 2>/dev/null`,
    'end',
    `complete -c ${name} -f`,
    ...program.options.map((option) => optionLine(name, `not __fish_seen_subcommand_from ${names}`, option)),
  ];
  for (const command of commands) {
    const condition = `not __fish_seen_subcommand_from ${names}`;
    lines.push(`complete -c ${name} -n ${quote(condition)} -a ${command.name} -d ${quote(command.description)}`);
    const inside = `__fish_seen_subcommand_from ${command.name}`;
    lines.push(...command.options.map((option) => optionLine(name, inside, option)));
    for (const argument of command.arguments) {
      const words = wordsOf(name, argument);
      if (words !== undefined) lines.push(`complete -c ${name} -n ${quote(inside)} ${words}`);
    }
  }
  for (const other of others) {
    // `complete -f` leaves out files, which none of them takes as an argument.
    lines.push(`complete -c ${other.name} -f${other.hosts ? " -a '(__fish_print_hostnames)'" : ''}`);
    lines.push(...other.options.map((option) => optionLine(other.name, undefined, option)));
  }
  return `${lines.join('\n')}\n`;
}

function optionLine(name: string, condition: string | undefined, option: OptionNode): string {
  const names = option.names.map((word) => (word.startsWith('--') ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`));
  const value = option.argument === undefined ? '' : ` -r ${wordsOf(name, option) ?? ''}`.trimEnd();
  const when = condition === undefined ? '' : ` -n ${quote(condition)}`;
  return `complete -c ${name}${when} ${names.join(' ')}${value} -d ${quote(option.description)}`;
}

function wordsOf(name: string, { kind, choices }: Pick<OptionNode, 'kind' | 'choices'>): string | undefined {
  if (choices.length > 0) return `-a ${quote(choices.join(' '))}`;
  if (kind === 'door') return `-a '(__${name}_doors)'`;
  return kind === 'file' ? '-F' : undefined;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
