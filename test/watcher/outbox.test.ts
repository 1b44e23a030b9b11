import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '../../src/core/messages.ts';
import { Outbox } from '../../src/watcher/outbox.ts';
import { address } from '../support/knocks.ts';
import { ManualClock } from '../support/manual-clock.ts';

const source = address('192.0.2.7');
const opened = (door: number): Report => ({ type: 'knock', revision: 1, event: { type: 'opened', door, source } });
const advanced: Report = { type: 'knock', revision: 1, event: { type: 'advanced', door: 0, source, stage: 1 } };

function stage() {
  const clock = new ManualClock();
  const written: string[] = [];
  let unread = 0;
  const outbox = new Outbox({
    write: (text) => written.push(text),
    unread: () => unread,
    monotonicNow: clock.monotonicNow,
    after: clock.after,
  });
  const stall = (): void => {
    unread = 2 ** 21;
  };
  return { clock, written, outbox, stall };
}

test('`Outbox` gathers lines for a moment and writes them with the next opening, in order', () => {
  const { clock, written, outbox } = stage();
  outbox.send(advanced);
  assert.equal(written.length, 0);
  clock.advance(20);
  assert.equal(written.length, 1);
  outbox.send(advanced);
  outbox.send(opened(0));
  assert.match(written[1] ?? '', /advanced.*\n.*opened.*\n$/);
  clock.advance(1000);
  assert.equal(written.length, 2);
});

test('`Outbox` takes openings alone while the keeper is busy, and of each door so many', () => {
  const { clock, outbox, stall } = stage();
  stall();
  assert.equal(outbox.send(advanced), false);
  let taken = 0;
  for (let count = 0; count < 100_000; count += 1) if (outbox.send(opened(0))) taken += 1;
  assert.equal(taken, 400);
  assert.equal(outbox.send(opened(1)), true);
  clock.advance(1000);
  assert.equal(outbox.send(opened(0)), true);
});
