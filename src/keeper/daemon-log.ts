/**
 * The log of the native daemon: events and what else there is to say, as text or JSON, to the systemd journal, syslog, a file and standard output.
 *
 * - The systemd journal gets the text and a field for each part of an event. While it takes entries, syslog gets none: who reads the one has the other.
 * - A line of a file begins with the time, in UTC. A file that was moved away, by logrotate say, is begun anew with the next line.
 * - What is no event begins with `warning: `, `error: `, `note: ` or `hint: ` in the log; in JSON it is an event of type `warned`.
 * - Nothing here ends the daemon: a full disk, a vanished folder or a silent logger cost lines.
 */

import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { PosternConfig } from '../config/postern-config.ts';
import { type WireStage, wireTime } from '../control/wire-event.ts';
import type { HistoryEntry, HistoryEvent, HistoryType } from '../core/history.ts';
import { createFolder } from '../platform/folder.ts';
import type { Journald, JournaldFields } from '../platform/journald.ts';
import type { Syslog } from '../platform/syslog.ts';
import { type Level, levelOf, matters, onOneLine, printEvent, printEventJson, printJson } from './history-words.ts';
import { reasonOf } from './journal.ts';

export type LogSettings = PosternConfig['log'];

export interface DaemonLogPorts {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** What is said there gets into the systemd journal, which has what the log sends it already. */
  readonly stderrIsJournal: boolean;
  readonly wallNow: () => number;
  readonly openSyslog: () => Syslog;
  readonly openJournald: () => Journald;
}

/** One thing to say, in every form that may be wanted. */
interface Line {
  readonly time: number;
  readonly level: Level;
  readonly text: string;
  readonly json: string;
  readonly fields: JournaldFields;
}

/** Severities of syslog(3). */
const PRIORITIES: Readonly<Record<Level, string>> = { error: '3', warning: '4', info: '6', debug: '7' };
/** Of what is no event, by how it begins. */
const LEVEL_OF: Readonly<Record<string, Level>> = { error: 'error', warning: 'warning', hint: 'warning', note: 'info' };
const DAEMON_FACILITY = '3';
/** Of what programs wrote, in a field of the journal. */
const LONGEST_FIELD = 16 * 1024;

export class DaemonLog {
  readonly #ports: DaemonLogPorts;
  readonly #verbose: boolean;
  #settings: LogSettings;
  #file: number | undefined;
  #syslog: Syslog | undefined;
  #journald: Journald | undefined;

  /** `verbose`: on standard output as well. */
  constructor(ports: DaemonLogPorts, settings: LogSettings, verbose: boolean) {
    this.#ports = ports;
    this.#verbose = verbose;
    this.#settings = settings;
    this.configure(settings);
  }

  configure(settings: LogSettings): void {
    this.#settings = settings;
    if (settings.syslog) this.#syslog ??= this.#ports.openSyslog();
    else {
      this.#syslog?.close();
      this.#syslog = undefined;
    }
    if (settings.journald) this.#journald ??= this.#ports.openJournald();
    else {
      this.#journald?.close();
      this.#journald = undefined;
    }
    this.#closeFile();
    const problem = this.#openFile();
    if (problem !== undefined) this.error(`warning: Cannot open the log file ${settings.file}: ${problem}`);
  }

  /** Is an event of this type, or a knock on the way, within the level? */
  shows(what: HistoryType | 'stage'): boolean {
    return matters(what === 'stage' ? 'debug' : levelOf({ type: what }), this.#settings.level);
  }

  /** `entry`: as it was recorded, if it was. */
  event(event: HistoryEvent, entry?: HistoryEntry): void {
    if (!this.shows(event.type)) return;
    this.#tell(this.#eventLine(event, levelOf(event), entry));
  }

  /** A knock on the way. */
  stage(stage: Omit<WireStage, 'type' | 'time'> & { readonly time: number }): void {
    if (!this.shows('stage')) return;
    const { time, door, source, stage: reached, of } = stage;
    this.#tell({
      time,
      level: 'debug',
      text: onOneLine(`${door}: ${source} has knocked ${reached} of ${of}`),
      json: printJson({ time: wireTime(time), type: 'stage', door, source, stage: reached, of } satisfies WireStage),
      fields: { POSTERN_TYPE: 'stage', POSTERN_DOOR: door, POSTERN_SOURCE: source },
    });
  }

  /** What is no event, and is also said on standard error, unless its readers have it from the log. Several lines are so many entries. */
  error(text: string): void {
    for (const said of text.split('\n').filter((line) => line.trim() !== '')) {
      const word = /^(warning|error|note|hint): /.exec(said)?.[1];
      const detail = word === undefined ? said : said.slice(word.length + 2);
      const level = LEVEL_OF[word ?? 'error'] ?? 'error';
      const line = this.#eventLine({ type: 'warned', detail }, level);
      const shown = { ...line, text: onOneLine(`${word ?? 'error'}: ${detail}`) };
      if (this.#log(shown) && this.#ports.stderrIsJournal) continue;
      this.#ports.stderr(`${this.#settings.format === 'json' ? shown.json : said}\n`);
    }
  }

  #eventLine(event: HistoryEvent, level: Level, entry?: HistoryEntry): Line {
    const recorded = entry ?? { time: this.#ports.wallNow() };
    const { type, door, source, reason, via, user, detail } = event;
    return {
      time: recorded.time,
      level,
      text: printEvent(event),
      json: printEventJson(event, recorded),
      fields: {
        POSTERN_TYPE: type,
        POSTERN_DOOR: door,
        POSTERN_SOURCE: source,
        POSTERN_REASON: reason,
        POSTERN_VIA: via,
        POSTERN_USER: user,
        POSTERN_DETAIL: detail?.slice(0, LONGEST_FIELD),
        POSTERN_ID: entry && String(entry.id),
      },
    };
  }

  #tell(line: Line): void {
    if (this.#verbose) this.#ports.stdout(`${this.#settings.format === 'json' ? line.json : line.text}\n`);
    this.#log(line);
  }

  /** To the journal or syslog, and the file. True when it went to one of the first two. */
  #log({ time, level, text, json, fields }: Line): boolean {
    const line = this.#settings.format === 'json' ? json : text;
    const taken = this.#journald?.write({
      MESSAGE: text,
      PRIORITY: PRIORITIES[level],
      SYSLOG_FACILITY: DAEMON_FACILITY,
      SYSLOG_IDENTIFIER: 'posternd',
      ...fields,
    });
    if (taken !== true) this.#syslog?.write(line, new Date(time));
    this.#write(`${this.#settings.format === 'json' ? json : `${wireTime(time)} ${text}`}\n`);
    return taken === true || this.#syslog !== undefined;
  }

  #write(line: string): void {
    if (this.#settings.file === undefined) return;
    try {
      if (this.#file === undefined || !isAt(this.#file, this.#settings.file)) {
        this.#closeFile();
        this.#openFile();
      }
      if (this.#file !== undefined) writeSync(this.#file, line);
    } catch {
      // A full disk must not close the doors' only caretaker.
    }
  }

  /** Why it cannot be opened. */
  #openFile(): string | undefined {
    if (this.#settings.file === undefined) return undefined;
    try {
      createFolder(dirname(this.#settings.file));
      this.#file = openSync(this.#settings.file, 'a', 0o640);
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  #closeFile(): void {
    const earlier = this.#file;
    this.#file = undefined;
    try {
      if (earlier !== undefined) closeSync(earlier);
    } catch {
      // What it could not write is lost; the descriptor is gone all the same.
    }
  }
}

/** Is the open file still the one of this name? */
function isAt(file: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const open = fstatSync(file);
  return there !== undefined && there.ino === open.ino && there.dev === open.dev;
}
