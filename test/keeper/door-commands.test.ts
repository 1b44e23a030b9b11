import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLines } from '../../src/keeper/door-commands.ts';
import { address } from '../support/knocks.ts';

const FOUR = address('10.0.0.1');
const SIX = address('2001:db8:0:0::1');

test('`commandLines()` replaces every `%IP%` and nothing else', () => {
  const startCommand = "echo '%IP%|%ip%|%%IP%%|%DOOR%|\\%IP%|%IP|%IP%IP%' $& $1";
  assert.deepEqual(commandLines({ startCommand }, FOUR), {
    start: "echo '10.0.0.1|%ip%|%10.0.0.1%|%DOOR%|\\10.0.0.1|%IP|10.0.0.1IP%' $& $1",
    stop: undefined,
  });
  assert.deepEqual(commandLines({ startCommand: '%IP%', stopCommand: '%IP%%IP%' }, SIX), {
    start: '2001:db8::1',
    stop: '2001:db8::12001:db8::1',
  });
});

test('`commandLines()` takes the IPv6 commands for IPv6 alone, and falls back where there are none', () => {
  const commands = { startCommand: 'start4', startCommand6: 'start6', stopCommand: 'stop4', stopCommand6: 'stop6' };
  assert.deepEqual(commandLines(commands, FOUR), { start: 'start4', stop: 'stop4' });
  assert.deepEqual(commandLines(commands, SIX), { start: 'start6', stop: 'stop6' });
  assert.deepEqual(commandLines({ startCommand: 'a', stopCommand: 'b' }, SIX), { start: 'a', stop: 'b' });
  assert.deepEqual(commandLines({ startCommand6: 'a', stopCommand6: 'b' }, FOUR), { nothing: true });
});

test('`commandLines()` runs nothing without a start command, and an empty one is none', () => {
  assert.deepEqual(commandLines({ stopCommand: 'stop' }, FOUR), { nothing: true });
  assert.deepEqual(commandLines({ startCommand: '', stopCommand: 'stop' }, FOUR), { nothing: true });
  assert.deepEqual(commandLines({ startCommand: 'a', startCommand6: '' }, SIX), { nothing: true });
  assert.deepEqual(commandLines({ startCommand: 'a', stopCommand: '' }, FOUR), { start: 'a', stop: '' });
});

test('`commandLines()` refuses a line over 4,095 bytes, as knockd does', () => {
  const fits = 'x'.repeat(4095);
  assert.deepEqual(commandLines({ startCommand: fits }, FOUR), { start: fits, stop: undefined });
  assert.deepEqual(commandLines({ startCommand: `${fits}x` }, FOUR), {
    refused: "error: parsed start command has been truncated! --> won't execute it",
  });
  assert.deepEqual(commandLines({ startCommand: 'a', stopCommand: 'é'.repeat(2048) }, FOUR), {
    refused: "error: parsed stop command has been truncated! --> won't execute start command",
  });
  assert.ok('refused' in commandLines({ startCommand: '%IP%'.repeat(1023) }, FOUR));
});
