/** Takes steps on the state in a folder until it is killed, and acknowledges each on stdout: `FOLDER FIRST-STEP`. */

import { writeSync } from 'node:fs';
import { openState } from '../../src/store/state.ts';
import { manualPorts, RETENTION } from './state-ports.ts';
import { takeStep } from './state-steps.ts';

const [folder = '', first = ''] = process.argv.slice(2);

function say(text: string): void {
  writeSync(1, `${text}\n`);
}

say('opening');
const { state, warnings } = openState(folder, manualPorts(), RETENTION);
for (const warning of warnings) say(warning);
const { problem } = state;
for (let step = Number(first); problem() === undefined; step++) {
  takeStep(state, step);
  say(String(step));
}
