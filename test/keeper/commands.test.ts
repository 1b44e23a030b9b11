import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, Commands } from '../../src/keeper/commands.ts';
import { FakePrograms, settled } from '../support/fake-programs.ts';
import { ManualClock } from '../support/manual-clock.ts';

function stage() {
  const clock = new ManualClock();
  const programs = new FakePrograms();
  const told: string[] = [];
  const commands = new Commands({ run: programs.run, after: clock.after, idle: () => told.push('idle') });
  /** A lane is `DOOR` or `DOOR:SOURCE`. */
  const command = (lane: string, line: string, expected = 1000): Command => ({
    lane,
    door: lane.split(':')[0] ?? '',
    line,
    expected,
    starting: () => told.push(`starting ${line}`),
    ended: (ending) => told.push(`ended ${line} ${JSON.stringify(ending)}`),
    slow: () => told.push(`slow ${line}`),
  });
  const closing = (lane: string, line: string): Command => ({ ...command(lane, line), closes: true });
  return { clock, programs, commands, told, command, closing };
}

test('Commands of one lane run one after another, lanes side by side', async () => {
  const { programs, commands, command } = stage();
  commands.submit(command('A', 'a1'));
  commands.submit(command('A', 'a2'));
  commands.submit(command('B', 'b1'));
  assert.deepEqual(programs.running, ['a1', 'b1']);
  programs.end('a1');
  await settled();
  assert.deepEqual(programs.running, ['b1', 'a2']);
  assert.equal(commands.outstanding, 2);
  programs.end('a2');
  programs.end('b1');
  await settled();
  assert.equal(commands.outstanding, 0);
});

test('A command that ends tells how, and lets go of its lane', async () => {
  const { programs, commands, told, command } = stage();
  commands.submit(command('A', 'a1'));
  programs.end('a1', { signal: 'SIGKILL' });
  await settled();
  commands.submit(command('A', 'a2'));
  programs.end('a2', { failed: 'no such program' });
  await settled();
  assert.deepEqual(told, [
    'starting a1',
    'ended a1 {"signal":"SIGKILL"}',
    'idle',
    'starting a2',
    'ended a2 {"failed":"no such program"}',
    'idle',
  ]);
});

test('A slow command is reported once, and one that ended in time is not', async () => {
  const { clock, programs, commands, told, command } = stage();
  commands.submit(command('A', 'slow', 500));
  commands.submit(command('B', 'quick', 500));
  clock.advance(499);
  programs.end('quick');
  await settled();
  clock.advance(10_000);
  assert.deepEqual(
    told.filter((line) => line.startsWith('slow')),
    ['slow slow'],
  );
  assert.deepEqual(programs.running, ['slow']);
});

test('A third command that waits in one lane is refused, unless it closes', async () => {
  const { programs, commands, command, closing } = stage();
  for (const line of ['1', '2', '3']) assert.equal(commands.submit(command('A', line)), true);
  assert.equal(commands.submit(command('A', 'refused')), false);
  assert.equal(commands.submit(closing('A', 'close')), true);
  for (const line of ['1', '2', '3', 'close']) {
    programs.end(line);
    await settled();
  }
  assert.deepEqual(programs.started, ['1', '2', '3', 'close']);
});

test('64 commands of a door run at once, 1,024 wait, and what waits runs in turn', async () => {
  const { programs, commands, command } = stage();
  let accepted = 0;
  for (let count = 0; count < 2000; count += 1) if (commands.submit(command(`A:${count}`, `${count}`))) accepted += 1;
  assert.equal(programs.running.length, 64);
  assert.equal(accepted, 64 + 1024);
  while (programs.running.length > 0) {
    assert.equal(programs.running.length <= 64, true);
    programs.end(programs.running[0]!);
    await settled();
  }
  assert.deepEqual(
    programs.started,
    Array.from({ length: accepted }, (_, index) => String(index)),
  );
  assert.equal(commands.outstanding, 0);
});

test('However many commands of a door hang, other doors open, and every door closes', async () => {
  const { programs, commands, command, closing } = stage();
  for (let count = 0; count < 2000; count += 1) commands.submit(command(`A:${count}`, `a${count}`));
  const from = programs.started.length;
  assert.equal(commands.submit(command('B:1', 'open')), true);
  assert.equal(commands.submit(closing('B:2', 'close')), true);
  assert.equal(commands.submit(closing('A:late', 'close too')), true);
  assert.deepEqual(programs.started.slice(from), ['open', 'close', 'close too']);
  programs.end('close too');
  await settled();
  assert.equal(programs.running.filter((line) => line.startsWith('a')).length, 64, 'what closes gives no place away');
});

test('Only when nothing runs and nothing waits the commands are idle', async () => {
  const { programs, commands, command, told } = stage();
  commands.submit(command('A', 'stop1'));
  commands.submit(command('A', 'stop2'));
  assert.equal(commands.outstanding, 2);
  programs.end('stop1');
  await settled();
  assert.ok(!told.includes('idle'), 'the next one of the lane is still to come');
  programs.end('stop2');
  await settled();
  assert.deepEqual(told.slice(-2), ['ended stop2 {"status":0}', 'idle']);
});
