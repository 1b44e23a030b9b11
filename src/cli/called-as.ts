/**
 * The name this program was called by, which getopt's messages begin with. A C program finds it in argv[0]; a script is only told where
 * it was found. So where that is the place in which a search along PATH finds it, it was called by its bare name, and else as it is written.
 */

import { accessSync, constants, readFileSync } from 'node:fs';
import { basename, delimiter, isAbsolute, join, resolve } from 'node:path';

/** What the answer depends on; a test brings its own. */
export interface Call {
  /** The script as the system was given it. */
  readonly script: string;
  readonly path: string | undefined;
  readonly isProgram: (file: string) => boolean;
}

/** `knock`, `./bin/knock`, `/opt/postern/bin/knock`: as it was called, as far as a script can know. */
export function calledAs({ script, path, isProgram }: Call = thisCall()): string {
  if (!isAbsolute(script)) return script;
  const name = basename(script);
  const places = (path ?? '').split(delimiter).map((folder) => join(folder, name));
  return places.find(isProgram) === script ? name : script;
}

function thisCall(): Call {
  return { script: givenScript(), path: process.env.PATH, isProgram };
}

/** `process.argv[1]` is always absolute; the kernel knows what it was. */
function givenScript(): string {
  const script = process.argv[1] ?? '';
  try {
    const given = readFileSync('/proc/self/cmdline', 'utf8').split('\0')[1 + process.execArgv.length] ?? '';
    return resolve(given) === script ? given : script;
  } catch {
    return script;
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
