/**
 * A recorded run of Debian's knockd 0.8: what it was started with, what was done to it, and everything it wrote. The format is
 * that of the recordings: a `$ command` line, then sections headed `=== title`.
 */

export interface KnockdSample {
  readonly name: string;
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly config: string;
  /** One a line: `send …`, `host$ command`, `# signal N`, `# after signal N: …`, other remarks. */
  readonly actions: readonly string[];
  /** Standard output and standard error together, as they came. */
  readonly output: readonly string[];
  readonly log: readonly string[];
  /** What the door's commands wrote. */
  readonly commandOutput: readonly string[];
  /** The exit status; a signal that killed it is negative. */
  readonly status: number;
}

/** Reads a recording; undefined when the file is something else (notes, a table, a session typed by hand). */
export function parseSample(name: string, text: string): KnockdSample | undefined {
  const sections = new Map<string, string>();
  const [head = '', ...parts] = text.split(/^=== /m);
  for (const part of parts) {
    const end = part.indexOf('\n');
    sections.set(part.slice(0, end), part.slice(end + 1));
  }
  const command = /^\$ \/usr\/sbin\/knockd (.*)$/m.exec(head);
  const section = (title: string): string => [...sections].find(([key]) => key.startsWith(title))?.[1] ?? '';
  const actions = section('actions').split('\n').filter(Boolean);
  const status = /^# (?:after signal \d+: exit status|knockd had already exited: status) (-?\d+)/m.exec(
    section('actions'),
  );
  if (!command || !status) return undefined;
  return {
    name,
    argv: command[1]!.trim().split(/\s+/),
    config: section('config'),
    actions,
    output: lines(section('stdout+stderr')),
    log: lines(section('logfile')),
    commandOutput: lines(section('command output file')),
    status: Number(status[1]),
  };
}

function lines(text: string): string[] {
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  return all.length === 1 && all[0] === '(none)' ? [] : all;
}
