/**
 * Run as a program of its own, to be killed: adds, moves and removes stops in the file it is given, as fast as it can, and writes a line for
 * each change as soon as the store has acknowledged it.
 */

import { writeSync } from 'node:fs';
import { openSqliteStops } from '../../src/store/sqlite-stops.ts';

const { store } = openSqliteStops(process.argv[2] ?? '');
const own: number[] = [];
for (let round = 0; ; round += 1) {
  const due = 1000 + round;
  const id = store.add({ door: 'A', source: '10.0.0.1', command: `close ${round}`, due, longest: 10 });
  writeSync(1, `add ${id} ${due}\n`);
  own.push(id);
  store.postpone(id, due + 0.5, 10);
  writeSync(1, `move ${id} ${due + 0.5}\n`);
  if (own.length <= 5) continue;
  const first = own.shift()!;
  store.remove(first);
  writeSync(1, `remove ${first}\n`);
}
