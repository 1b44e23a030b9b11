/** A command line as plain data, for what is made of it besides `--help`: manual pages and completions. */

import type { Command, Help, Option } from 'commander';

/** What an argument is a name of, as far as a shell can complete it. */
export type Kind = 'door' | 'file' | 'address' | 'interface' | 'other';

export interface OptionNode {
  /** `-d`, `--door`. */
  readonly names: readonly string[];
  /** As in help: `<name>`; absent for a flag. */
  readonly argument?: string;
  readonly kind: Kind;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface ArgumentNode {
  /** As in help: `<door>`, `[source]`, `[words...]`. */
  readonly term: string;
  readonly kind: Kind;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface CommandNode {
  readonly name: string;
  readonly description: string;
  /** What follows the name: `[options] <door>`. */
  readonly usage: string;
  readonly options: readonly OptionNode[];
  readonly arguments: readonly ArgumentNode[];
  readonly commands: readonly CommandNode[];
}

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['door', 'door'],
  ['file', 'file'],
  ['source', 'address'],
  ['address', 'address'],
  ['interface', 'interface'],
]);

/** What help shows of a command: nothing that is hidden there. */
export function describeCommand(command: Command): CommandNode {
  const help = command.createHelp();
  return {
    name: command.name(),
    description: command.description(),
    usage: command.usage(),
    options: help.visibleOptions(command).map((option) => describeOption(option, help)),
    arguments: command.registeredArguments.map((argument) => ({
      term: bracketed(argument),
      kind: KINDS.get(argument.name()) ?? 'other',
      choices: argument.argChoices ?? [],
      description: help.argumentDescription(argument),
    })),
    commands: help.visibleCommands(command).map(describeCommand),
  };
}

function describeOption(option: Option, help: Help): OptionNode {
  const argument = /[<[].*$/.exec(option.flags)?.[0];
  const attribute = option.attributeName();
  return {
    names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
    ...(argument !== undefined && { argument }),
    kind: argument === undefined ? 'other' : (KINDS.get(attribute) ?? KINDS.get(argument.slice(1, -1)) ?? 'other'),
    choices: option.argChoices ?? [],
    // The default of a flag is that it is not there.
    description: argument === undefined ? option.description : help.optionDescription(option),
  };
}

function bracketed(argument: { readonly required: boolean; readonly variadic: boolean; name(): string }): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}
