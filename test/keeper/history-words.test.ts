import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { HISTORY_WORDS, wireEntry } from '../../src/control/wire-event.ts';
import type { HistoryEvent, HistoryType } from '../../src/core/history.ts';
import { RESERVED_NAMES } from '../../src/core/policy.ts';
import { type Level, levelOf, matters, printEvent, printEventJson } from '../../src/keeper/history-words.ts';

test('Events are lines that people read', () => {
  const lines: readonly (readonly [HistoryEvent, string])[] = [
    [{ type: 'opened', door: 'ssh', source: '192.0.2.7', via: 'knock' }, 'ssh: opened for 192.0.2.7 (knock)'],
    [
      { type: 'closed', door: 'ssh', source: '192.0.2.7', via: 'hand', user: 'alice', reason: 'by hand' },
      'ssh: closed for 192.0.2.7 (hand, alice, by hand)',
    ],
    [
      { type: 'denied', door: 'ssh', source: '2001:db8::', via: 'knock', reason: 'firewall', detail: 'no room' },
      'ssh: not opened for 2001:db8:: (knock, firewall): no room',
    ],
    [{ type: 'started', detail: '2 doors' }, 'started: 2 doors'],
    [{ type: 'restored' }, 'the guard had been removed by somebody else and was put back'],
  ];
  for (const [event, line] of lines) assert.equal(printEvent(event), line);
});

test('What a program said stays on its line, and cannot steer a terminal', () => {
  const event = {
    type: 'hooked',
    door: 'ssh',
    source: '192.0.2.7',
    reason: 'on_open',
    detail: 'one\ntwo\x1b[2J',
  } as const;
  assert.equal(printEvent(event), 'ssh: hook for 192.0.2.7 (on_open): one / two?[2J');
});

test('A level has those before it', () => {
  const levels: readonly Level[] = ['error', 'warning', 'info', 'debug'];
  for (const [index, level] of levels.entries()) {
    for (const [other, least] of levels.entries()) assert.equal(matters(level, least), index <= other);
  }
  assert.equal(levelOf({ type: 'denied' }), 'warning');
  assert.equal(levelOf({ type: 'failed' }), 'info');
});

/** Values that try to begin a line, an escape or a field of their own. */
const hostile = fc.array(
  fc.oneof(
    fc.constantFrom('\n', '\r\n', '\u2028', '\u2029', '\u0085', '\u001b[2J', '\u202e', '\0', '"', '\\', 'é', '😀'),
    fc.constantFrom('ssh: refused 192.0.2.66 (no grant)', '","source":"192.0.2.66', '\ud800', 'x'.repeat(700)),
    fc.string(),
  ),
  { maxLength: 8 },
);
const hostileText = hostile.map((parts) => parts.join(''));
const types = fc.constantFrom(...(Object.keys(HISTORY_WORDS) as HistoryType[]));

test('Whatever it tells of, a line is one printed line that is not too long', () => {
  const property = fc.property(types, hostileText, hostileText, (type, reason, detail) => {
    const event = { type, door: 'ssh', source: '192.0.2.7', reason: reason.slice(0, 100), detail };
    for (const line of [printEvent(event), printEventJson(event, { time: 0, id: 7 })]) {
      assert.ok(Buffer.byteLength(line) <= 1023, line);
      assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }
    assert.ok(printEvent(event).startsWith(printEvent({ type, door: 'ssh', source: '192.0.2.7' })));
  });
  fc.assert(property);
});

test('The JSON form has the fields of `postern log --json`, in its order', () => {
  const event = { type: 'refused', door: 'ssh', source: '192.0.2.7', reason: 'no grant', detail: 'tcp/22' } as const;
  const time = Date.parse('2030-01-31T12:00:00Z');
  assert.equal(
    printEventJson(event, { time, id: 7 }),
    '{"time":"2030-01-31T12:00:00.000Z","type":"refused","door":"ssh","source":"192.0.2.7","reason":"no grant","detail":"tcp/22","id":7}',
  );
  assert.equal(JSON.stringify(wireEntry({ ...event, time, id: 7 })), printEventJson(event, { time, id: 7 }));
  assert.equal(
    printEventJson({ type: 'omitted', detail: '3 lines about strangers' }, { time }),
    '{"time":"2030-01-31T12:00:00.000Z","type":"omitted","detail":"3 lines about strangers"}',
  );
});

test('What JSON says is what was meant, also where characters are escaped; only a long detail is cut', () => {
  const property = fc.property(hostileText, (detail) => {
    const { detail: read } = JSON.parse(printEventJson({ type: 'hooked', detail }, { time: 0 }));
    if (read.endsWith('…') && !detail.endsWith('…')) assert.ok(detail.startsWith(read.slice(0, -1)));
    else assert.equal(read, detail);
  });
  fc.assert(property);
});

test('No line without a door begins as one of a door could', () => {
  const all = Object.keys(HISTORY_WORDS) as HistoryType[];
  const ours: readonly HistoryType[] = ['restored', 'started', 'reloaded', 'applied', 'stopped', 'warned', 'omitted'];
  const events: readonly HistoryEvent[] = [
    ...all.map((type) => ({ type, source: '192.0.2.7', detail: 'words' })),
    ...ours.map((type) => ({ type, detail: 'words' })),
  ];
  for (const event of events) {
    const word = /^([A-Za-z][\w-]*): /.exec(printEvent(event))?.[1];
    assert.ok(word === undefined || RESERVED_NAMES.includes(word), printEvent(event));
  }
});

test('doc/logs.md has the line and the level of every type', () => {
  const page = readFileSync(join(import.meta.dirname, '../../doc/logs.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(\w+)` \| `([^`]+)` \| (\w+) \|$/gm)].map((match) => match.slice(1));
  assert.deepEqual(rows.map(([type]) => type).toSorted(), Object.keys(HISTORY_WORDS).toSorted());
  for (const [type, line = '', level] of rows) {
    // Every part that the line names, under its own name.
    const parts = ['door', 'source', 'via', 'user', 'reason', 'detail'].filter((part) =>
      line.includes(part.toUpperCase()),
    );
    const event = { type, ...Object.fromEntries(parts.map((part) => [part, part.toUpperCase()])) } as HistoryEvent;
    assert.deepEqual([printEvent(event), levelOf(event)], [line, level]);
  }
});
