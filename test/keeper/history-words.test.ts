import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryEvent } from '../../src/core/history.ts';
import { type Level, levelOf, matters, printEvent } from '../../src/keeper/history-words.ts';

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
  assert.equal(levelOf({ type: 'failed' }), 'debug');
});
