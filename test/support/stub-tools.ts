/**
 * Stubs of a firewall's programs, in a folder of their own: each run is recorded with its input, and answered as the test says.
 * What is not answered succeeds and prints nothing.
 */

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface StubTools {
  /** With a slash behind. */
  readonly folder: string;
  /** What these words are answered from now on: `pfctl -s info`. */
  answer(command: string, output: string, status?: number): void;
  /** The runs since the last call: the command line, then its input, a line each, with `< ` before. */
  runs(): string[];
  remove(): void;
}

/** Every run has a file of its own, named by its number: a process cannot tell how many others there are at the same time. */
const SCRIPT = `#!/bin/sh
name=$(basename "$0")
folder=$(dirname "$0")
key=$(printf '%s' "$name $*" | tr -c 'A-Za-z0-9\\n' _)
number=$(ls "$folder/runs" | wc -l)
{ echo "$name $*"; sed 's/^/< /'; } > "$folder/runs/$(printf '%06d' "$number")"
[ -f "$folder/answers/$key" ] && cat "$folder/answers/$key"
[ -f "$folder/answers/$key.err" ] && cat "$folder/answers/$key.err" >&2 && exit 1
exit 0
`;

export function createStubTools(names: readonly string[]): StubTools {
  const folder = mkdtempSync(join(tmpdir(), 'postern-tools-'));
  mkdirSync(join(folder, 'runs'));
  mkdirSync(join(folder, 'answers'));
  for (const name of names) {
    writeFileSync(join(folder, name), SCRIPT);
    chmodSync(join(folder, name), 0o755);
  }
  let seen = 0;
  return {
    folder: `${folder}/`,
    answer: (command, output, status = 0) => {
      const file = join(folder, 'answers', command.replace(/[^A-Za-z0-9\n]/g, '_'));
      rmSync(file, { force: true });
      rmSync(`${file}.err`, { force: true });
      writeFileSync(status === 0 ? file : `${file}.err`, output);
    },
    runs: () => {
      const files = readdirSync(join(folder, 'runs')).sort().slice(seen);
      seen += files.length;
      return files.flatMap((file) =>
        readFileSync(join(folder, 'runs', file), 'utf8')
          .trimEnd()
          .split('\n'),
      );
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
