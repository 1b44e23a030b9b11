import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { endingTogether } from '../../src/keeper/listening.ts';
import type { Ending } from '../../src/platform/process.ts';
import { settled } from '../support/fake-programs.ts';

function program() {
  const { promise: ended, resolve: end } = Promise.withResolvers<Ending>();
  const killed: NodeJS.Signals[] = [];
  return {
    pid: 1,
    ended,
    end,
    killed,
    kill: (signal: NodeJS.Signals) => void killed.push(signal),
    output: new PassThrough(),
  };
}

test('Capture programs are killed with the watcher they capture for, and when it ends', async () => {
  const [watcher, one, two] = [program(), program(), program()];
  const together = endingTogether(watcher, [one, two]);
  assert.ok(one.output.destroyed && two.output.destroyed);
  together.kill('SIGKILL');
  assert.deepEqual([watcher.killed, one.killed, two.killed], [['SIGKILL'], ['SIGKILL'], ['SIGKILL']]);

  const [dying, three] = [program(), program()];
  endingTogether(dying, [three]);
  dying.end({ status: 1 });
  await settled();
  assert.deepEqual([dying.killed, three.killed], [[], ['SIGKILL']]);
});
