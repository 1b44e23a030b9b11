import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Complaints } from '../../src/keeper/complaints.ts';
import { ManualClock } from '../support/manual-clock.ts';

function stage() {
  const clock = new ManualClock();
  const said: string[] = [];
  const complaints = new Complaints({ say: (line) => said.push(line), monotonicNow: clock.monotonicNow });
  const watcher = () => {
    const stream = new PassThrough();
    complaints.read(stream);
    return stream;
  };
  const write = async (stream: PassThrough, text: string): Promise<void> => {
    stream.write(text);
    await new Promise(setImmediate);
  };
  return { clock, said, watcher, write };
}

test('Lines come through without what is not printable; the last one needs no end', async () => {
  const { said, watcher, write } = stage();
  const stream = watcher();
  await write(stream, 'Error: \u001b[2J\u0007one\r\n\n  at tw');
  await write(stream, 'o \u00e9\u0085\nlast');
  stream.end();
  await new Promise(setImmediate);
  assert.deepEqual(said, ['Error: [2Jone', '  at two ', 'last']);
});

test('Lines are cut at 500 characters, and so many of them are told at once and a second', async () => {
  const { clock, said, watcher, write } = stage();
  const stream = watcher();
  await write(stream, `${'x'.repeat(2000)}\n`);
  assert.equal(said[0]?.length, 500);
  await write(stream, 'again\n'.repeat(1000));
  assert.equal(said.length, 30);
  clock.advance(2000);
  await write(stream, 'again\n'.repeat(1000));
  assert.equal(said.length, 34);
});

test('A watcher that writes without end is not read any more; the next one is, under the same allowance', async () => {
  const { clock, said, watcher, write } = stage();
  const stream = watcher();
  await write(stream, 'x'.repeat(70_000));
  assert.equal(stream.destroyed, true);
  clock.advance(60_000);
  await write(watcher(), 'hello\n');
  assert.equal(said.at(-1), 'hello');
});
