/** Completion for zsh. */

import type { ArgumentNode, CommandNode, OptionNode } from './command-tree.ts';
import type { ProgramNode } from './completion-programs.ts';

export function zshCompletion(program: CommandNode, others: readonly ProgramNode[]): string {
  const { name, commands } = program;
  return `#compdef ${[name, ...others.map((other) => other.name)].join(' ')}
# zsh completion of ${name}; made by "${name} completion zsh"
_${name}_doors() {
  local -a doors config
  [[ -n \${opt_args[--config]} ]] && config=(--config \${opt_args[--config]})
  [[ -n \${opt_args[-c]} ]] && config=(--config \${opt_args[-c]})
  [[ -n \${opt_args[--socket]} ]] && config=(--socket \${opt_args[--socket]})
  doors=(\${(f)"$(${name} $config complete-doors 2>/dev/null)"})
  compadd -a doors
}
_${name}() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  case $service in
${others.map((other) => otherCase(other)).join('\n')}
  esac
  _arguments -C \\
${program.options.map((option) => `    ${optionSpec(name, option)} \\`).join('\n')}
    '1:command:->command' \\
    '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(
${commands.map((command) => `        ${quote(`${command.name}:${command.description}`)}`).join('\n')}
      )
      _describe command commands ;;
    argument)
      case $line[1] in
${commands.map((command) => commandCase(name, command)).join('\n')}
      esac ;;
  esac
}
_${name} "$@"
`;
}

function otherCase({ name, options, hosts }: ProgramNode): string {
  const specs = [...options.map((option) => optionSpec(name, option)), ...(hosts ? ["'1:host:_hosts'"] : [])];
  return `    ${name}) _arguments ${specs.join(' ')}; return ;;`;
}

function commandCase(name: string, command: CommandNode): string {
  const specs = [
    ...command.options.map((option) => optionSpec(name, option)),
    ...command.arguments.map((argument, index) => argumentSpec(name, argument, index + 1)),
  ];
  return `        ${command.name}) _arguments ${specs.join(' ')} ;;`;
}

function optionSpec(name: string, option: OptionNode): string {
  const text = option.description.replace(/[[\]\\:]/g, '\\$&');
  const value = option.argument === undefined ? '' : `:${option.argument.slice(1, -1)}:${action(name, option)}`;
  const spec = `[${text}]${value}`;
  if (option.names.length === 1) return quote(`${option.names[0]}${spec}`);
  return `'(${option.names.join(' ')})'{${option.names.join(',')}}${quote(spec)}`;
}

function argumentSpec(name: string, argument: ArgumentNode, place: number): string {
  const rest = argument.term.includes('...');
  const label = argument.term.replace(/[<>[\].]/g, '');
  return quote(
    `${rest ? '*' : place}${argument.term.startsWith('[') && !rest ? '::' : ':'}${label}:${action(name, argument)}`,
  );
}

function action(name: string, { kind, choices }: Pick<OptionNode, 'kind' | 'choices'>): string {
  if (choices.length > 0) return `(${choices.join(' ')})`;
  if (kind === 'door') return `_${name}_doors`;
  if (kind === 'file') return '_files';
  return ' ';
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
