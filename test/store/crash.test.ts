/**
 * A process that writes to its state is killed (SIGKILL) a thousand times, at whatever moment the signal finds it: while it creates the
 * file, opens it, writes, or writes the WAL back. What it had acknowledged is there each time, and the file is never damaged.
 *
 * `CRASHES=10000 npm test -- test/store/crash.test.ts` runs longer.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildSync } from 'esbuild';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { CLOSES, GRANTS } from '../../src/store/rows.ts';
import { openState, type State } from '../../src/store/state.ts';
import { manualPorts, RETENTION } from '../support/state-ports.ts';
import { changeTables, detailOf, entryOf, type Tables } from '../support/state-steps.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const WRITER = join(import.meta.dirname, '../support/state-writer.ts');
const CRASHES = Number(process.env.CRASHES ?? 1000);
const LANES = 2;
/** Kills that one file has to survive. */
const SERIES = 50;
/** The writer is killed as soon as it has said a random number of lines up to this one; 1 is before it opens the file. */
const MOST_LINES = 40;

/** Most of a short life is its start, and half of that the reading of many files: the writer as one file. */
function bundle(folder: string): string {
  const outfile = join(folder, 'writer.cjs');
  buildSync({ entryPoints: [WRITER], outfile, bundle: true, platform: 'node', format: 'cjs' });
  return outfile;
}

/** Starts a writer at a step and kills it when it has said so many lines; the steps it acknowledged. */
function crash(writer: string, folder: string, first: number, lines: number): Promise<readonly number[]> {
  const child = spawn(process.execPath, [writer, folder, String(first)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  let said = 0;
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    stdout += text;
    said += text.split('\n').length - 1;
    if (said >= lines) child.kill('SIGKILL');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      const [opening, ...steps] = stdout.split('\n').slice(0, -1);
      if (signal !== 'SIGKILL' || opening !== 'opening') reject(new Error(`ended with ${status}: ${stdout}${stderr}`));
      else if (!steps.every((step) => /^\d+$/.test(step))) reject(new Error(`said ${stdout}`));
      else resolve(steps.map(Number));
    });
  });
}

class Series {
  readonly #model: Tables = { grants: openMemoryRows(GRANTS), closes: openMemoryRows(CLOSES) };
  readonly #folder: string;
  #done = -1;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The first step that was not acknowledged. */
  get next(): number {
    return this.#done + 1;
  }

  acknowledged(steps: readonly number[]): void {
    for (const step of steps) {
      assert.equal(step, this.next);
      changeTables(this.#model, step);
      this.#done = step;
    }
  }

  /** Opens the state and looks whether everything is there; the step in which the writer was killed may be, whole. */
  check(steps: readonly number[]): void {
    const { state, setAside, warnings } = openState(this.#folder, manualPorts(), RETENTION);
    try {
      assert.deepEqual([warnings, setAside], [[], undefined]);
      this.#checkTables(state);
      for (const step of steps) {
        const entry = entryOf(step);
        if (entry !== undefined) assert.equal(state.spent.spend(entry), false, entry);
      }
      const recorded = new Set(state.history.latest({}, 2 * this.next + 10).map(({ detail }) => detail));
      for (const step of steps) {
        const detail = detailOf(step);
        if (detail !== undefined) assert.ok(recorded.has(detail), detail);
      }
    } finally {
      state.close();
    }
  }

  #checkTables({ grants, closes }: State): void {
    const found = { grants: grants.all(), closes: closes.all() };
    const before = { grants: this.#model.grants.all(), closes: this.#model.closes.all() };
    if (JSON.stringify(found) === JSON.stringify(before)) return;
    changeTables(this.#model, this.next);
    assert.deepEqual(found, { grants: this.#model.grants.all(), closes: this.#model.closes.all() });
  }
}

test(`${CRASHES} kills at random moments lose nothing that was acknowledged`, { timeout: 600_000 }, async () => {
  using program = temporaryFolder();
  const writer = bundle(program.path);
  let left = CRASHES;
  let acknowledged = 0;
  let killedEarly = 0;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      using folder = temporaryFolder();
      const series = new Series(join(folder.path, 'state'));
      const all: number[] = [];
      for (let count = 0; count < SERIES && left > 0; count++) {
        left--;
        const lines = 1 + Math.floor(Math.random() * MOST_LINES);
        const steps = await crash(writer, join(folder.path, 'state'), series.next, lines);
        series.acknowledged(steps);
        series.check(steps);
        all.push(...steps);
        if (steps.length === 0) killedEarly++;
        acknowledged += steps.length;
      }
      series.check(all);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  assert.ok(acknowledged > 10 * CRASHES && killedEarly > 0, `${acknowledged} writes, ${killedEarly} killed early`);
});
