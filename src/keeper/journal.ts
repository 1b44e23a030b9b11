/**
 * Everything knockd says, in its words and places: log file, syslog, standard output (`-v` events, `-D` debugging), standard error.
 *
 * A log line is `[YYYY-MM-DD HH:MM] text`, local time. Messages that knockd ends with a newline of its own (`spaced`) are followed
 * by an empty line in the file and carry the newline into syslog; scripts that read these logs know both. Text is cut at 1,023
 * bytes. A full disk or a vanished log directory costs lines, never the daemon.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import type { Syslog } from '../platform/syslog.ts';

const LONGEST = 1023;

export interface JournalPorts {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly wallNow: () => number;
  readonly openSyslog: () => Syslog;
}

export class Journal {
  readonly #ports: JournalPorts;
  #verbose = false;
  #debug = false;
  #file: number | undefined;
  #syslog: Syslog | undefined;

  constructor(ports: JournalPorts) {
    this.#ports = ports;
  }

  show(options: { readonly verbose: boolean; readonly debug: boolean }): void {
    this.#verbose = options.verbose;
    this.#debug = options.debug;
  }

  useSyslog(on: boolean): void {
    if (on) this.#syslog ??= this.#ports.openSyslog();
    else {
      this.#syslog?.close();
      this.#syslog = undefined;
    }
  }

  /** Appends to `path` from now on; without one, to no file. A file that cannot be opened is a warning on standard error. */
  openFile(path: string | undefined): void {
    const earlier = this.#file;
    this.#file = undefined;
    try {
      if (earlier !== undefined) closeSync(earlier);
    } catch {
      // What it could not write is lost; the descriptor is gone all the same.
    }
    if (path === undefined) return;
    try {
      this.#file = openSync(path, 'a');
    } catch (error) {
      this.#ports.stderr(`warning: cannot open logfile: ${reasonOf(error)}\n`);
    }
  }

  /** To log file and syslog. */
  log(text: string, spaced = false): void {
    const line = cut(text) + (spaced ? '\n' : '');
    const at = new Date(this.#ports.wallNow());
    this.#syslog?.write(line, at);
    if (this.#file === undefined) return;
    try {
      writeSync(this.#file, `[${minute(at)}] ${line}\n`);
    } catch {
      // A full disk must not close the doors' only caretaker.
    }
  }

  /** To the log, and to standard output with `-v`. */
  event(text: string, spaced = false): void {
    this.log(text, spaced);
    if (this.#verbose) this.#ports.stdout(`${text}\n`);
  }

  /** To standard output with `-v` only. */
  say(text: string): void {
    if (this.#verbose) this.#ports.stdout(`${text}\n`);
  }

  /** To standard output with `-D` only. */
  debug(text: string): void {
    if (this.#debug) this.#ports.stdout(`${text}\n`);
  }

  /** To the log and standard error. */
  error(text: string, spaced = false): void {
    this.log(text, spaced);
    this.#ports.stderr(`${text}\n`);
  }
}

/** Where the C library's words are others than those of Node's messages, which lack the last two errors. */
const STRERROR: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EALREADY: 'Operation already in progress',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EFAULT: 'Bad address',
  EHOSTUNREACH: 'No route to host',
  EILSEQ: 'Invalid or incomplete multibyte or wide character',
  EIO: 'Input/output error',
  EISCONN: 'Transport endpoint is already connected',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
  ENFILE: 'Too many open files in system',
  ENOMEM: 'Cannot allocate memory',
  ENOTCONN: 'Transport endpoint is not connected',
  ENOTSUP: 'Operation not supported',
  ERANGE: 'Numerical result out of range',
  ESPIPE: 'Illegal seek',
  ETXTBSY: 'Text file busy',
  EXDEV: 'Invalid cross-device link',
  'Unknown system error -116': 'Stale file handle',
  'Unknown system error -122': 'Disk quota exceeded',
};

/** The system's text for a failed call, as strerror(3) has it: `No such file or directory`. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const match = /^([A-Z0-9]+|Unknown system error -\d+): ([^,]+)/.exec(error.message);
  const text = STRERROR[match?.[1] ?? ''] ?? match?.[2] ?? error.message;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function cut(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return bytes.length <= LONGEST ? text : new TextDecoder().decode(bytes.subarray(0, LONGEST)).replace(/�$/, '');
}

function minute(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}
