/** Completion for bash, without the bash-completion package. */

import type { CommandNode, OptionNode } from './command-tree.ts';
import type { ProgramNode } from './completion-programs.ts';

export function bashCompletion(program: CommandNode, others: readonly ProgramNode[]): string {
  const name = program.name;
  const { options, commands } = program;
  return `# bash completion of ${name}; made by "${name} completion bash"
_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= config=() count=0 i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      -c|--config|--socket)
        config+=("\${COMP_WORDS[i]}" "\${COMP_WORDS[i+1]}")
        ((i++)) ;;
${valueOptions(program)}      -*) ;;
      *) if [[ -z $command ]]; then command=\${COMP_WORDS[i]}; else ((count++)); fi ;;
    esac
  done
  _${name}_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
  _${name}_doors() { _${name}_words "$(${name} "\${config[@]}" complete-doors 2>/dev/null)"; }
  _${name}_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
  COMPREPLY=()
  case $command:$prev in
${[{ name: '', options }, ...commands].flatMap((command) => command.options.filter(({ argument }) => argument !== undefined).map((option) => optionCase(name, command.name, option))).join('\n')}
    *:-c|*:--config|*:--socket) _${name}_files; return ;;
  esac
  if [[ $cur == -* ]]; then
    case $command in
${[{ name: '""', options }, ...commands].map((command) => `      ${command.name}) _${name}_words "${namesOf(command.options)}" ;;`).join('\n')}
    esac
    return
  fi
  case $command:$count in
    :*) _${name}_words "${commands.map((command) => command.name).join(' ')}" ;;
${commands.flatMap((command) => argumentCases(name, command)).join('\n')}
  esac
}
complete -F _${name} ${name}
_${name}_others() {
  local cur=\${COMP_WORDS[COMP_CWORD]} program=\${COMP_WORDS[0]##*/}
  COMPREPLY=()
  case $program:\${COMP_WORDS[COMP_CWORD-1]} in
${others.flatMap((other) => valueCases(other)).join('\n')}
  esac
  case $program:$cur in
${others.map((other) => `    ${other.name}:-*) mapfile -t COMPREPLY < <(compgen -W "${namesOf(other.options)}" -- "$cur") ;;`).join('\n')}
${others.flatMap((other) => (other.hosts ? [`    ${other.name}:*) mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur") ;;`] : [])).join('\n')}
  esac
}
complete -F _${name}_others ${others.map((other) => other.name).join(' ')}
`;
}

/** What is done behind an option that takes a value. */
function valueCases({ name, options }: ProgramNode): readonly string[] {
  const files = 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); ';
  return options
    .filter(({ argument }) => argument !== undefined)
    .map(
      ({ names, kind }) =>
        `    ${names.map((word) => `${name}:${word}`).join('|')}) ${kind === 'file' ? files : ''}return ;;`,
    );
}

function namesOf(options: readonly OptionNode[]): string {
  return options.flatMap(({ names }) => names).join(' ');
}

/** Options whose value must not be taken for an argument. */
function valueOptions({ commands }: CommandNode): string {
  const names = commands
    .flatMap(({ options }) => options.filter(({ argument }) => argument?.startsWith('<')))
    .flatMap((option) => option.names);
  const rest = [...new Set(names)].filter((name) => !['-c', '--config', '--socket'].includes(name));
  return rest.length === 0 ? '' : `      ${rest.join('|')}) ((i++)) ;;\n`;
}

function optionCase(name: string, command: string, option: OptionNode): string {
  const pattern = option.names.map((word) => `${command}:${word}`).join('|');
  return `    ${pattern}) ${completer(name, option)}return ;;`;
}

function argumentCases(name: string, command: CommandNode): readonly string[] {
  return command.arguments.flatMap((argument, index) => {
    const complete = completer(name, argument);
    return complete === '' ? [] : [`    ${command.name}:${index}) ${complete}return ;;`];
  });
}

function completer(name: string, { kind, choices }: Pick<OptionNode, 'kind' | 'choices'>): string {
  if (choices.length > 0) return `_${name}_words "${choices.join(' ')}"; `;
  if (kind === 'door') return `_${name}_doors; `;
  return kind === 'file' ? `_${name}_files; ` : '';
}
