/**
 * All the checks of the project, in order: formatting and lint, types, unit tests, end-to-end tests (`npm test`; arguments: test
 * files or folders to run instead, without the static checks).
 *
 * Quiet while things go well: one line per phase with its time, every skipped test with its reason, every failure in full. The last line is
 * `N passed, N failed, N skipped` over everything, each static check counting as one; any failure, or no test at all, exits 1.
 * Ctrl-C ends the running tests, waits for their clean-up, and exits 130.
 */

import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { run } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const interruption = new AbortController();
let tests = 0;

/** End-to-end tests that keep the machine busy with deaths, reloads or a hundred thousand grants: two of them at a time. */
const BUSY: ReadonlySet<string> = new Set([
  'iptables-kernel',
  'knockd-life',
  'nftables-kernel',
  'posternd-deaths',
  'posternd-tarpit',
  'posternd-trouble',
]);
/** Those that flood, or play many labs at once themselves: nobody else runs beside them. */
const ALONE: ReadonlySet<string> = new Set([
  'knockd-samples',
  'posternd-chaos',
  'posternd-forgery',
  'posternd-strangers',
]);

/** Without a result for so long, what runs has hung: it is ended, and fails under its name. In seconds, for what runs through a night. */
const SILENCE = Number(process.env.TEST_PATIENCE ?? 300) * 1000;
/** How long ended tests may take to clean up. */
const GRACE = 20_000;

async function main(): Promise<void> {
  process.chdir(root);
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.once(signal, () => {
      process.exitCode = 128 + number;
      interruption.abort();
      setTimeout(() => process.exit(), 2 * GRACE).unref();
    });
  }
  const named = process.argv.slice(2).flatMap(testFiles);
  if (named.length > 0) {
    await runTests('tests', named, 1);
  } else {
    await check('format and lint', join(bin, 'biome'), ['check', '--error-on-warnings', '.']);
    await check('types', join(bin, 'tsc'), ['--noEmit']);
    await check('types of src/core', join(bin, 'tsc'), ['--noEmit', '-p', 'src/core']);
    const files = testFiles('test');
    const e2e = files.filter((file) => file.startsWith(join('test', 'e2e')));
    await runTests(
      'unit tests',
      files.filter((file) => !e2e.includes(file)),
      2,
    );
    const among = (names: ReadonlySet<string>): string[] => e2e.filter((file) => names.has(basename(file, '.test.ts')));
    const [busy, alone] = [among(BUSY), among(ALONE)];
    // Most of their time they wait.
    await runTests(
      'end-to-end tests, three at a time',
      e2e.filter((file) => !busy.includes(file) && !alone.includes(file)),
      3,
    );
    await runTests('end-to-end tests, two at a time', busy, 2);
    await runTests('end-to-end tests, one at a time', alone, 1);
  }
  if (interruption.signal.aborted) {
    console.log('interrupted');
  } else if (total.failed > 0 || tests === 0) {
    if (tests === 0) console.log('no test ran');
    process.exitCode = 1;
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  process.exit();
}

function testFiles(path: string): string[] {
  if (existsSync(path) && !statSync(path).isDirectory()) return [path];
  return globSync(join(path, '**/*.test.ts')).sort();
}

/** Runs a static check; its output is shown only when it fails. */
async function check(title: string, file: string, args: readonly string[]): Promise<void> {
  if (interruption.signal.aborted) return;
  const start = Date.now();
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = (): boolean => child.kill();
  interruption.signal.addEventListener('abort', stop);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const status = await new Promise((resolve) => child.on('close', resolve));
  interruption.signal.removeEventListener('abort', stop);
  const passed = status === 0;
  count(passed ? 'passed' : 'failed');
  if (!passed) console.log(output.trimEnd());
  sayPhase(title, start, passed ? 'ok' : 'FAILED');
}

function count(outcome: keyof Counts): void {
  total[outcome] += 1;
}

function sayPhase(title: string, start: number, outcome: string): void {
  console.log(`${title}: ${outcome} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
}

/** Runs test files, each in a process of its own, and adds their results to the total. */
async function runTests(title: string, files: readonly string[], concurrency: number): Promise<void> {
  if (interruption.signal.aborted || files.length === 0) return;
  const start = Date.now();
  const before = { ...total };
  const hang = new AbortController();
  const watchdog = setTimeout(() => {
    hang.abort();
    setTimeout(() => process.exit(1), 2 * GRACE).unref();
  }, SILENCE);
  const stream = run({
    files: files.map((file) => join(root, file)),
    concurrency,
    signal: AbortSignal.any([interruption.signal, hang.signal]),
    execArgv: [],
  });
  const progress = setInterval(() => {
    if (!process.stdout.isTTY) return;
    process.stdout.write(
      `\r${title}: ${total.passed - before.passed} passed (${Math.round((Date.now() - start) / 1000)} s) `,
    );
  }, 1000);
  const seconds = new Map<string, number>();
  for await (const { type, data } of stream) {
    watchdog.refresh();
    if ((type === 'test:pass' || type === 'test:fail') && data.nesting === 0 && data.file !== undefined) {
      const file = basename(data.file, '.test.ts');
      seconds.set(file, (seconds.get(file) ?? 0) + data.details.duration_ms / 1000);
    }
    if (type === 'test:fail') {
      if (data.details.type === 'suite') continue;
      tests += 1;
      // A test whose only fault is a failed subtest was told already, by that subtest.
      const { error } = data.details;
      if (error.failureType === 'subtestsFailed') continue;
      count('failed');
      console.log(`${clear()}✖ ${data.name}  ${place(data)}\n${indent(explain(error))}`);
    } else if (type === 'test:pass') {
      // A file without tests is reported as a test that bears its name.
      // A suite that is skipped is told in place of its tests.
      if ((data.details.type === 'suite' && data.skip === undefined) || data.name === data.file) continue;
      tests += 1;
      if (data.skip !== undefined) {
        count('skipped');
        console.log(
          `${clear()}skipped: ${data.name}  ${place(data)}${typeof data.skip === 'string' ? `: ${data.skip}` : ''}`,
        );
      } else {
        count('passed');
      }
    } else if (type === 'test:stderr') {
      process.stderr.write(data.message);
    }
  }
  if (interruption.signal.aborted || hang.signal.aborted) await childrenGone();
  clearTimeout(watchdog);
  clearInterval(progress);
  const part = (key: keyof Counts): string => `${total[key] - before[key]} ${key}`;
  sayPhase(clear() + title, start, `${part('passed')}, ${part('failed')}, ${part('skipped')}`);
  const slowest = [...seconds].toSorted(([, one], [, other]) => other - one).slice(0, files.length > 3 ? 10 : 0);
  if (slowest.length > 0)
    console.log(`  slowest: ${slowest.map(([file, time]) => `${file} ${time.toFixed(0)} s`).join(', ')}`);
}

/** The runner lets go of the files that it ends before they have cleaned up. */
async function childrenGone(): Promise<void> {
  const list = `/proc/self/task/${process.pid}/children`;
  for (const start = Date.now(); existsSync(list) && Date.now() - start < GRACE; await sleep(20)) {
    if (readFileSync(list, 'utf8') === '') return;
  }
}

function clear(): string {
  return process.stdout.isTTY ? '\r\x1b[K' : '';
}

function place(data: { file?: string; line?: number }): string {
  return data.file === undefined ? '' : `(${relative(root, data.file)}:${data.line ?? 1})`;
}

const LONGEST_EXPLANATION = 8_000;

/** The thrown error itself, without the runner's envelope, and without the copies that an assertion keeps of what its message shows. */
function explain(error: Error): string {
  const cause = error.cause ?? error;
  const deeper = cause instanceof Error && cause.cause !== undefined ? `\ncaused by: ${inspect(cause.cause)}` : '';
  const text = `${cause instanceof Error ? cause.stack : inspect(cause)}${deeper}`;
  const excess = text.length - LONGEST_EXPLANATION;
  return excess > 0 ? `${text.slice(0, LONGEST_EXPLANATION)}\n… ${excess} more characters` : text;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}

await main();
