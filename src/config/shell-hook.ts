/**
 * A command of knockd.conf as a hook of a door: the shell runs it as knockd's did, with the address in POSTERN_SOURCE where knockd wrote
 * it into the text in place of `%IP%`.
 */

/** The argv of a hook that runs a command of knockd's. */
export function shellHook(command: string): readonly string[] {
  return ['/bin/sh', '-c', scriptOf(command)];
}

const BY_FAMILY = 'case "$POSTERN_SOURCE" in *:*) exec /bin/sh -c "$2";; *) exec /bin/sh -c "$1";; esac';

/** The argv of one that runs another command for IPv6 sources; an empty one does nothing. */
export function familyHook(command: string, command6: string): readonly string[] {
  if (command === command6) return shellHook(command);
  return ['/bin/sh', '-c', BY_FAMILY, 'sh', scriptOf(command), scriptOf(command6)];
}

function scriptOf(command: string): string {
  return replaceAddress(command).replaceAll('\0', '');
}

/** `%IP%` becomes a variable that the shell expands wherever it stands, in single quotes too. */
function replaceAddress(command: string): string {
  let text = '';
  let open: '"' | "'" | undefined;
  for (let at = 0; at < command.length; at++) {
    const c = command[at] ?? '';
    if (command.startsWith('%IP%', at)) {
      text += open === "'" ? `'"$POSTERN_SOURCE"'` : `\${POSTERN_SOURCE}`;
      at += 3;
      continue;
    }
    if (c === '\\' && open !== "'" && !command.startsWith('%IP%', at + 1)) {
      text += c + (command[++at] ?? '');
      continue;
    }
    // What stood behind the backslash is no `%` any more.
    if (c === '\\' && open !== "'") continue;
    if (c === open) open = undefined;
    else if (open === undefined && (c === '"' || c === "'")) open = c;
    text += c;
  }
  return text;
}
