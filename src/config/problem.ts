/**
 * What is wrong or doubtful in a file of our own people: where, what, and what to do about it. Errors stop the start,
 * warnings never do (a caller with `--strict` treats them as errors). Messages are sentence case without a final period;
 * quoted text is cut and escaped, so that a stray control byte in a file never reaches a terminal.
 */

export interface Problem {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  /** Counted from 1 as an editor does; 0 when the problem is the whole file's. */
  readonly line: number;
  readonly message: string;
  readonly hint: string;
}

/** A problem that does not know yet where it is. */
export type Finding = Pick<Problem, 'severity' | 'message' | 'hint'>;

export function finding(severity: Problem['severity'], message: string, hint: string): Finding {
  return { severity, message, hint };
}

/** Two lines without a final newline: `file:line: what` and `hint: ...`; a warning says so after the place. */
export function printProblem(problem: Problem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}`;
  return `${place}: ${problem.severity === 'warning' ? 'warning: ' : ''}${problem.message}\nhint: ${problem.hint}`;
}

const LONGEST_QUOTE = 60;

/** The text in double quotes, control characters as `\xNN`, cut after 60 characters. */
export function quote(text: string): string {
  const cut = text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}...` : text;
  return `"${escaped(cut)}"`;
}

/** The whole text on one line, control characters as `\xNN`. */
export function escaped(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
