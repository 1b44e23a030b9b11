/**
 * Mutation testing of src/core (`npm run mutate`): one slip at a time is put into a file, and the tests that concern it have to notice. Prints the
 * mutants that nobody noticed, and a score per file.
 *
 *     npm run mutate -- [--sample N] [--seed S] [FILE...]    N of all mutants, of which those of the files are tried
 *
 * One process at a time; a mutant is killed by the first test that fails, or by working three times as long without a word as the sources as they are. Tests of the
 * core are run, and of the fuzzing, with few random inputs each; for a file that they do not reach, those of other rooms.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { randomFrom } from '../test/support/random.ts';
import { type Mutant, mutantsOf } from './mutants.ts';

const root = join(import.meta.dirname, '..');
const PROJECT = join(root, 'src/core/tsconfig.json');
/** Tests that take long, need a network or look at the project itself say nothing about a slip in the core that others do not. */
const TESTS = ['core', 'fuzz', 'keeper', 'watcher', 'control', 'config', 'firewall', 'capture', 'client'];
const FEW = { FUZZ_RUNS: '1000', FUZZ_SEED: '1', MODEL_RUNS: '100' };
const SLOWER = 3;
const LEAST_SILENCE = 2;
/** Of a second, in proc(5). */
const TICKS = 100;

process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

const { values, positionals } = parseArgs({
  options: { sample: { type: 'string' }, seed: { type: 'string', default: '1' } },
  allowPositionals: true,
});

/** The files that a file imports, of this project. */
const imports = new Map<string, readonly string[]>();
function importsOf(file: string): readonly string[] {
  let found = imports.get(file);
  if (!found) {
    const statements = readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)\s(?!type\s)[^'"]*?from\s+'(\.[^']+)';/gm,
    );
    found = [...statements].map((match) => join(dirname(file), match[1]!));
    imports.set(file, found);
  }
  return found;
}

/** How many imports lead from one file to another. */
function distance(from: string, to: string): number {
  const seen = new Set([from]);
  for (let steps = 0, border = [from]; border.length > 0; steps += 1) {
    if (border.includes(to)) return steps;
    border = border.flatMap(importsOf).filter((file) => !seen.has(file));
    for (const file of border) seen.add(file);
  }
  return Number.POSITIVE_INFINITY;
}

const allTests = TESTS.flatMap((folder) => globSync(join(root, 'test', folder, '*.test.ts'))).sort();

/** The tests that concern a file: its own and those nearest in the core and the fuzzing; of others only where those have none. */
function testsOf(file: string): readonly string[] {
  const within = (folders: readonly string[], most: number): readonly string[] =>
    allTests.filter((test) => folders.includes(basename(dirname(test))) && distance(test, file) <= most);
  const direct = within(['core', 'fuzz'], 1);
  const near = direct.length > 0 ? direct : within(['core'], 3);
  return near.length > 0 ? near : within(TESTS, 2);
}

const asTheyAre = new Map<string, Outcome>();

/** How a test does with the sources as they are. Throws when it fails. */
async function outcomeOf(test: string): Promise<Outcome> {
  const outcome = asTheyAre.get(test) ?? (await run(test));
  if (!outcome.passed) throw new Error(`${test} fails with the sources as they are`);
  asTheyAre.set(test, outcome);
  return outcome;
}

/** The file's own tests first, then the quickest. */
async function quickestFirst(tests: readonly string[], file: string): Promise<readonly string[]> {
  const weights = new Map<string, number>();
  for (const test of tests) {
    weights.set(test, basename(test, '.test.ts') === basename(file, '.ts') ? 0 : (await outcomeOf(test)).work);
  }
  return [...tests].sort((x, y) => weights.get(x)! - weights.get(y)!);
}

/** Does any of the tests notice? */
async function isKilled(mutant: Mutant, tests: readonly string[]): Promise<boolean> {
  for (const test of tests) {
    const longestSilence = Math.max(LEAST_SILENCE, (await outcomeOf(test)).silence * SLOWER);
    if (!(await run(test, mutant, longestSilence)).passed) return true;
  }
  return false;
}

interface Outcome {
  readonly passed: boolean;
  /** Seconds of processor time. */
  readonly work: number;
  /** The most of it that was done without a word. */
  readonly silence: number;
}

/** Seconds of processor time that a process has had (proc(5)); how busy the machine is does not count. */
function workOf(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  } catch {
    return 0;
  }
}

/** Runs a test file, until a test fails or works too long without a word. */
function run(test: string, mutant?: Mutant, longestSilence = Number.POSITIVE_INFINITY): Promise<Outcome> {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--test-reporter=tap', '--test-force-exit', join(root, 'scripts/mutant-run.ts'), test],
    {
      cwd: root,
      env: { ...process.env, ...FEW, ...(mutant && { MUTANT: JSON.stringify(mutant) }) },
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  let heard = 0;
  let silence = 0;
  let work = 0;
  const listen = (): void => {
    work = Math.max(work, workOf(child.pid));
    silence = Math.max(silence, work - heard);
    if (silence > longestSilence) kill();
  };
  const timer = setInterval(listen, 250);
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    listen();
    heard = work;
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (lines.some((line) => /^\s*not ok /.test(line))) kill();
  });
  return new Promise((resolve) => {
    child.on('close', (status) => {
      clearInterval(timer);
      process.off('exit', kill);
      resolve({ passed: status === 0, work, silence });
    });
  });
}

/** So many of them, the same for the same seed. */
function sampleOf(mutants: readonly Mutant[], count: number, seed: number): readonly Mutant[] {
  const random = randomFrom(seed);
  const left = [...mutants];
  const taken = Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(random.below(left.length), 1)[0]!,
  );
  const order = new Map(mutants.map((mutant, index) => [mutant, index]));
  return taken.sort((x, y) => order.get(x)! - order.get(y)!);
}

const core = globSync(join(root, 'src/core/*.ts')).sort();
const files = positionals.length > 0 ? positionals.map((file) => join(process.cwd(), file)) : core;
const all = mutantsOf(PROJECT, core);
const sample = values.sample === undefined ? all : sampleOf(all, Number(values.sample), Number(values.seed));
const mutants = sample.filter(({ file }) => files.includes(file));
console.log(`${mutants.length} of ${all.length} mutants`);

const start = Date.now();
const scores: { readonly file: string; readonly killed: number; readonly of: number }[] = [];
for (const file of files) {
  const own = mutants.filter((mutant) => mutant.file === file);
  if (own.length === 0) continue;
  const tests = await quickestFirst(testsOf(file), file);
  const name = relative(root, file);
  const before = Date.now();
  let killed = 0;
  for (const mutant of own) {
    if (await isKilled(mutant, tests)) killed += 1;
    else console.log(`survived  ${name}:${mutant.line}  ${mutant.change}`);
  }
  scores.push({ file: name, killed, of: own.length });
  console.error(`${name}: ${killed} of ${own.length}, ${Math.round((Date.now() - before) / 1000)} s`);
}

const percent = (killed: number, of: number): string => `${((100 * killed) / of).toFixed(1)} %`.padStart(8);
for (const { file, killed, of } of scores) console.log(`${percent(killed, of)}  ${killed} of ${of}`.padEnd(26), file);
const killed = scores.reduce((sum, score) => sum + score.killed, 0);
console.log(
  `${percent(killed, mutants.length)}  ${killed} of ${mutants.length} in ${Math.round((Date.now() - start) / 1000)} s`,
);
