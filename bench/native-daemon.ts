/** Our posternd as installed, on the server's eth0, with doors that differ in name, port and steps only. */

import { join } from 'node:path';
import { type Posternd, startPosternd } from '../test/support/posternd-host.ts';
import { STEPS } from './daemon.ts';
import type { Bench } from './measurement.ts';

const SETTINGS = `[state]
dir = "state"
[log]
syslog = false
`;
/** The port of the first door; the others protect the ports behind it. */
export const FIRST_PORT = 2201;
let started = 0;

/** Starts it with so many doors and waits until it is ready; stop it before another daemon starts. */
export function startNative(bench: Bench, doors: number): Promise<Posternd> {
  started += 1;
  return startPosternd(bench.server, {
    doors: doorsText(doors),
    settings: SETTINGS,
    folder: join(bench.folder, `native-${started}`),
    program: bench.posternd,
  });
}

/** The first door opens to `STEPS`, each further one to three ports of its own. Another `openFor` makes another configuration. */
export function doorsText(count: number, openFor = '30s'): string {
  return Array.from({ length: count }, (_, index) => {
    const steps = STEPS.map((step) => `"tcp/${step + index}"`).join(', ');
    return `[door.door${index}]
protect = ["tcp/${FIRST_PORT + index}"]
open_for = "${openFor}"
[door.door${index}.knock]
steps = [${steps}]
within = "5s"
`;
  }).join('');
}
