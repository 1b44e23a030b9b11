/**
 * getopt_long as the GNU C library does it, so that a command line and a mistyped one get the answer that knock and knockd give.
 *
 * Options may be bundled (`-dD`), carry their argument (`-ieth0`, `--config=x`), be abbreviated (`--conf`) and stand anywhere among the
 * operands; `--` ends them. The result keeps the order of the command line, mistakes included, because callers act in that order: `-V -x`
 * prints the version, `-x -V` complains. The messages are glibc's, word for word (posix/getopt.c, 2.36).
 */

/** One option. Specs stand in the order in which an ambiguous abbreviation lists them. */
export interface OptionSpec {
  readonly long: string;
  /** One character; an option without it has only its long name. */
  readonly short?: string;
  /** Does it need an argument? */
  readonly argument?: boolean;
}

/** What one piece of the command line turned out to be: an option under its long name, or a message for standard error. */
export type ParsedOption<Name extends string = string> =
  | { readonly option: Name; readonly value: string | undefined }
  | { readonly error: string };

export interface ParsedArguments<Name extends string = string> {
  readonly options: readonly ParsedOption<Name>[];
  readonly operands: readonly string[];
}

/** Where options may stand: among the operands, or (as with POSIXLY_CORRECT in the environment) only before the first one. */
export type Ordering = 'permute' | 'options-first';

/** Takes a command line apart (without the program's name); `program` is what the messages begin with. */
export function getopt<const Specs extends readonly OptionSpec[]>(
  argv: readonly string[],
  specs: Specs,
  program: string,
  ordering: Ordering = 'permute',
): ParsedArguments<Specs[number]['long']> {
  type Name = Specs[number]['long'];
  const options: ParsedOption<Name>[] = [];
  const operands: string[] = [];
  const rest = [...argv];

  const complain = (message: string): void => {
    options.push({ error: `${program}: ${message}` });
  };

  const takeLong = (text: string): void => {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    const candidates = matchLong(specs, name);
    const spec = candidates[0];
    if (!spec) {
      complain(`unrecognized option '--${text}'`);
    } else if (candidates.length > 1) {
      const names = candidates.map((candidate) => ` '--${candidate.long}'`);
      complain(`option '--${text}' is ambiguous; possibilities:${names.join('')}`);
    } else if (!spec.argument) {
      if (equals >= 0) complain(`option '--${spec.long}' doesn't allow an argument`);
      else options.push({ option: spec.long, value: undefined });
    } else {
      const value = equals >= 0 ? text.slice(equals + 1) : rest.shift();
      if (value === undefined) complain(`option '--${spec.long}' requires an argument`);
      else options.push({ option: spec.long, value });
    }
  };

  const takeBundle = (text: string): void => {
    const letters = [...text];
    for (const [index, letter] of letters.entries()) {
      const spec = specs.find((candidate) => candidate.short === letter);
      if (!spec) {
        complain(`invalid option -- '${letter}'`);
      } else if (spec.argument) {
        const value = letters.slice(index + 1).join('') || rest.shift();
        if (value === undefined) complain(`option requires an argument -- '${letter}'`);
        else options.push({ option: spec.long, value });
        return;
      } else {
        options.push({ option: spec.long, value: undefined });
      }
    }
  };

  for (let text = rest.shift(); text !== undefined; text = rest.shift()) {
    if (text === '--') {
      operands.push(...rest);
      break;
    }
    if (text.startsWith('--')) {
      takeLong(text.slice(2));
    } else if (text.startsWith('-') && text !== '-') {
      takeBundle(text.slice(1));
    } else {
      operands.push(text);
      if (ordering === 'options-first') {
        operands.push(...rest);
        break;
      }
    }
  }
  return { options, operands };
}

/** The spec of exactly this name, or all that begin with it. */
function matchLong(specs: readonly OptionSpec[], name: string): readonly OptionSpec[] {
  const exact = specs.find((spec) => spec.long === name);
  return exact ? [exact] : specs.filter((spec) => spec.long.startsWith(name));
}
