import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processMarks } from '../../src/platform/process-mark.ts';
import { Running } from '../support/running.ts';

const { markProcess, stillRuns } = processMarks;

test('A process is known by its mark until it ends, whatever it is called', async () => {
  const script =
    'fs.writeFileSync("/proc/self/comm", "x) 1 2 (y"); console.log("started"); setInterval(() => {}, 1000)';
  const program = new Running([process.execPath, '-e', script]);
  await program.waitForLine(/^started$/);
  const mark = markProcess(program.pid);
  assert.match(mark ?? '', new RegExp(`^${program.pid} \\d+$`));
  assert.equal(stillRuns(mark ?? ''), true);
  await program.stop('SIGKILL');
  assert.equal(stillRuns(mark ?? ''), false);
});

test('Another process with the same number is another process', () => {
  const mark = markProcess(process.pid) ?? '';
  assert.equal(stillRuns(mark), true);
  assert.equal(stillRuns(mark.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10))), false);
});

test('A mark that is none, and a process that is gone, do not run', () => {
  for (const mark of ['', '1', '1 ', '../../etc 1', '-1 5', '0 0', '99999999 1'])
    assert.equal(stillRuns(mark), false, mark);
  assert.equal(markProcess(99_999_999), undefined);
});
