/**
 * knockd.conf as knockd 0.8 reads it: the same sections, the same defaults, the same words when it stops (`-D` lines included),
 * and beside that every problem of the file at once, with those that knockd swallows.
 *
 * Three rules hold it together: knockd's silence is kept (what it accepts, we accept, with a warning), an `error` is exactly what
 * stops knockd, and after an error the reading goes on as the author probably meant it, so that one slip makes one problem.
 */

import { setDirective } from './knockd-directives.ts';
import { lintDoors, lintSectionName, looksLikeOptions } from './knockd-door-lint.ts';
import { DOOR_KEYS, OPTION_KEYS, type OptionKey, USE_SYSLOG } from './knockd-keys.ts';
import { lintBadLine, lintBadSection, lintBare, lintStrayLine, lintUnknownKey } from './knockd-line-lint.ts';
import { fromBytes, type KnockdLine, knockdLines, toBytes, trimSpace, upperCase } from './knockd-lines.ts';
import { type DoorDraft, type KnockdDoor, lowerDoor } from './knockd-lower.ts';
import { readTarget } from './knockd-target.ts';
import { Transcript } from './knockd-transcript.ts';
import { lintName, lintText } from './knockd-value-lint.ts';
import { finding, type Problem, quote } from './problem.ts';
import { DEFAULT_STRAYS } from './strays.ts';

const LONGEST_NAME = 127;
const LONGEST_SECTION = 254;
const LONGEST_INTERFACE = 31;

export interface KnockdConfOptions {
  /** The file's name, for problems. */
  readonly file: string;
  /** Reads a one-time file; throws an `Error` whose message is the system's text alone ("No such file or directory"). */
  readonly readFile: (path: string) => Uint8Array;
  /** The interface of `-i`: knockd then ignores `Interface` without a word. */
  readonly interface?: string;
  /** Strays an attempt survives where the sequence allows it; 2 unless given. */
  readonly strays?: number;
}

export interface KnockdConfig {
  readonly useSyslog: boolean;
  /** '' is an empty `LogFile`: none, also instead of `-g`. */
  readonly logFile?: string;
  /** '' is an empty `PidFile`. */
  readonly pidFile?: string;
  /** Absent with `-i`. */
  readonly interface?: string;
  /** In the order of the file; two may share a name. */
  readonly doors: readonly KnockdDoor[];
}

interface Reading {
  /** knockd's `-D` lines on standard output, up to where it stops. */
  readonly trace: readonly string[];
  /** knockd's lines on standard error: malformed one-time lines it skips, and the fatal one at the end. */
  readonly stderr: readonly string[];
  /** Those of them that knockd also logs, in the words of the log. */
  readonly logged: readonly string[];
  /** Everything about the file, in line order. An `error` is there exactly when `ok` is false. */
  readonly problems: readonly Problem[];
}

export interface KnockdConfLoaded extends Reading {
  readonly ok: true;
  readonly config: KnockdConfig;
}

export interface KnockdConfRefused extends Reading {
  readonly ok: false;
  /** knockd's last words, the last line of `stderr`. */
  readonly knockdError: string;
  /** `config`: while reading, before anything is opened; knockd prints its usage after it. `filter`: libpcap refuses a `Target`. */
  readonly stoppedAt: 'config' | 'filter';
  /** Only with `filter`: what `-D` prints expressions of before the error. */
  readonly unusable?: KnockdConfig;
}

export type KnockdConfResult = KnockdConfLoaded | KnockdConfRefused;

/** Reads a configuration file. Never throws: what is wrong is in the result. */
export function parseKnockdConf(text: string | Uint8Array, options: KnockdConfOptions): KnockdConfResult {
  const reader = new Reader(options);
  for (const line of knockdLines(toBytes(text))) reader.read(line);
  return reader.finish();
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class Reader {
  readonly #options: KnockdConfOptions;
  readonly #said: Transcript;
  readonly #doors: DoorDraft[] = [];
  readonly #config: Mutable<Omit<KnockdConfig, 'doors'>> = { useSyslog: false };
  readonly #optionLines = new Map<OptionKey, number>();
  #section: DoorDraft | 'options' | undefined;
  #strayed = false;

  constructor(options: KnockdConfOptions) {
    this.#options = options;
    this.#said = new Transcript(options.file);
  }

  read(line: KnockdLine): void {
    const errors = this.#said.errors;
    if (line.hidden) this.#warn(line, 'A NUL byte hides the rest of this line', 'Remove the byte');
    this.#readText(line);
    if (!line.continued || this.#said.errors > errors) return;
    const message = 'The line is longer than 4095 bytes: knockd reads the rest as a line of its own';
    this.#warn(line, message, 'Shorten the line; put a long command into a script');
  }

  #readText(line: KnockdLine): void {
    const { text } = line;
    if (text === '' || text.startsWith('#')) return;
    if (text.startsWith('[') && text.endsWith(']')) this.#openSection(line, text.slice(1, -1));
    else if (this.#section === undefined) this.#stray(line);
    else this.#directive(line);
  }

  #openSection(line: KnockdLine, name: string): void {
    this.#said.debug(`config: new section: '${fromBytes(name.slice(0, LONGEST_SECTION))}'`);
    if (name === '') {
      this.#said.stop(`config: line ${line.counted}: bad section name`);
      this.#said.report(
        line.line,
        finding('error', 'Cannot use a section without a name', 'Write a name, such as "[openSSH]"'),
      );
    }
    if (name === 'options') {
      this.#section = 'options';
      return;
    }
    const cut = name.slice(0, LONGEST_NAME);
    for (const about of lintSectionName(name, cut)) this.#said.report(line.line, about);
    for (const about of lintText('The name of the section', name)) this.#said.report(line.line, about);
    this.#section = {
      name: fromBytes(cut),
      line: line.line,
      settings: new Map(),
      steps: [],
      tcpFlags: { set: 0, clear: 0 },
    };
    this.#doors.push(this.#section);
  }

  /** A line before the first section. */
  #stray(line: KnockdLine): void {
    this.#said.stop(`config: line ${line.counted}: all directives must belong to a section`);
    const meant = lintBadSection(line);
    if (meant) this.#recover(line, meant.name);
    if (meant || !this.#strayed) this.#said.report(line.line, meant?.about ?? lintStrayLine(line.text));
    this.#strayed = true;
  }

  /** Opens the section that the author meant, so that what follows is judged where it belongs. */
  #recover(line: KnockdLine, name: string): void {
    if (name !== '') this.#openSection(line, name);
  }

  #directive(line: KnockdLine): void {
    const equals = line.text.indexOf('=');
    const written = trimSpace(equals === -1 ? line.text : line.text.slice(0, equals));
    const value = equals === -1 ? undefined : trimSpace(line.text.slice(equals + 1));
    const key = upperCase(written);
    const section = this.#section;
    if (value === undefined) {
      if (key === USE_SYSLOG) this.#setSyslog();
      else this.#syntaxError(line, written);
    } else if (section === 'options') {
      const option = OPTION_KEYS.get(key);
      if (option) this.#setOption(line, option, value);
      else this.#syntaxError(line, written, value);
    } else if (section) {
      const directive = DOOR_KEYS.get(key);
      if (directive) setDirective(this.#said, this.#options.readFile, section, { line, key: directive, value });
      else this.#syntaxError(line, written, value);
    }
  }

  #syntaxError(line: KnockdLine, written: string, value?: string): void {
    this.#said.stop(`config: line ${line.counted}: syntax error`);
    const meant = lintBadSection(line);
    const section = this.#section === 'options' ? 'options' : 'door';
    if (meant) this.#recover(line, meant.name);
    const own = value === undefined ? lintBare(written, section) : lintUnknownKey(written, section);
    this.#said.report(line.line, meant?.about ?? lintBadLine(line) ?? own);
    const option = OPTION_KEYS.get(upperCase(written));
    if (value !== undefined && option && this.#meantOptions()) this.#setOption(line, option, value);
  }

  /** Is the door at hand a misspelt `[options]` with nothing of a door yet? Then it becomes the options. */
  #meantOptions(): boolean {
    const section = this.#section;
    if (!section || section === 'options' || !looksLikeOptions(section.name) || section.settings.size > 0) return false;
    this.#doors.pop();
    this.#section = 'options';
    return true;
  }

  #setSyslog(): void {
    this.#said.debug('config: usesyslog');
    this.#config.useSyslog = true;
  }

  #setOption(line: KnockdLine, key: OptionKey, value: string): void {
    const before = this.#optionLines.get(key);
    const text = fromBytes(value);
    for (const about of [...lintName(key, value), ...lintText(key, value)]) this.#said.report(line.line, about);
    if (before !== undefined) {
      const counts = key === 'Interface' ? 'the first one' : 'the last one';
      this.#warn(
        line,
        `${key} is there twice: ${counts} counts, and line ${before} has the other`,
        'Remove one of the two',
      );
    }
    this.#optionLines.set(key, line.line);
    if (key === 'Interface') this.#setInterface(line, value);
    else if (key === 'LogFile') {
      this.#said.debug(`config: log file: ${text}`);
      this.#config.logFile = text;
    } else {
      this.#said.debug(`config: pid file: ${text}`);
      this.#config.pidFile = text;
    }
  }

  #setInterface(line: KnockdLine, value: string): void {
    const name = fromBytes(value.slice(0, LONGEST_INTERFACE));
    if (value.length > LONGEST_INTERFACE) {
      this.#warn(
        line,
        `The interface name is cut at ${LONGEST_INTERFACE} bytes`,
        'Write the name that "ip link" shows',
      );
    }
    if (this.#options.interface || this.#config.interface) return;
    this.#said.debug(`config: interface: ${name}`);
    if (name !== '') this.#config.interface = name;
  }

  #warn(line: KnockdLine, message: string, hint: string): void {
    this.#said.report(line.line, finding('warning', message, hint));
  }

  finish(): KnockdConfResult {
    const said = this.#said;
    for (const door of this.#doors) {
      if (door.settings.has('Sequence') || door.settings.has('One_Time_Sequences')) continue;
      said.stop(`error: section '${door.name}' has an empty knock sequence`);
      const message = `The door ${quote(door.name)} has no Sequence`;
      said.report(door.line, finding('error', message, 'Add a line such as "Sequence = 7000,8000,9000"'));
    }
    if (this.#doors.length === 0 && !said.stopped) {
      said.report(
        0,
        finding('warning', 'The file has no door', 'Add a section such as "[openSSH]" with a Sequence and a Command'),
      );
    }
    lintDoors(this.#doors, (line, about) => said.report(line, about));
    const stoppedAt = said.stopped ? 'config' : 'filter';
    this.#judgeTargets();
    // By line; what is said about one-time files comes after, file by file as they were read.
    const own = said.problems.filter((problem) => problem.file === said.file).sort((x, y) => x.line - y.line);
    const problems = [...own, ...said.problems.filter((problem) => problem.file !== said.file)];
    const reading = { trace: said.trace, stderr: said.stderr, logged: said.logged, problems };
    const knockdError = said.stopped ? (said.stderr.at(-1) ?? '') : undefined;
    if (stoppedAt === 'config') return { ok: false, ...reading, knockdError: knockdError ?? '', stoppedAt };
    const strays = this.#options.strays ?? DEFAULT_STRAYS;
    const config = { ...this.#config, doors: this.#doors.map((door) => lowerDoor(door, strays)) };
    if (knockdError === undefined) return { ok: true, ...reading, config };
    return { ok: false, ...reading, knockdError, stoppedAt, unusable: config };
  }

  /** libpcap's turn: it reads the filters of all doors at once and stops at the first thing it can't read. */
  #judgeTargets(): void {
    for (const { settings } of this.#doors) {
      const setting = settings.get('Target');
      if (!setting) continue;
      const target = readTarget(fromBytes(setting.value));
      if (target.finding) this.#said.report(setting.line, target.finding);
      if (target.refusal !== undefined) this.#said.stop(`pcap_compile: ${target.refusal}`);
    }
  }
}
