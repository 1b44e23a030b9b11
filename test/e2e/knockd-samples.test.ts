/**
 *     server kds0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 kdc0 client (packets also from .3 to .9, forged)
 *
 * Every recorded run of Debian's knockd 0.8, played again to ours: it says, logs, runs and answers the same, or differs in exactly
 * the lines that support/knockd-sample-differences.ts lists with the reason. What is compared: support/knockd-replay.ts.
 */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Lab, type Outcome, openLab, replay } from '../support/knockd-replay.ts';
import { parseSample } from '../support/knockd-sample.ts';
import { DIFFERENCES, type Difference } from '../support/knockd-sample-differences.ts';
import { STAGES } from '../support/knockd-stages.ts';
import { unavailable } from '../support/netns.ts';

const FOLDER = join(import.meta.dirname, '../../../shared/specs/knockd-samples');
const skip =
  unavailable('knock', 'nft', 'perl') || (!existsSync(FOLDER) && 'needs the recorded runs (../shared/specs)');

/** Recordings that are not one run of a daemon with its actions, and where the same is tested. */
const NOT_REPLAYED: Readonly<Record<string, string>> = {
  '18-config-grammar': 'configuration files alone: test/config',
  '21-daemon-pidfile': 'a session typed by hand: knockd-life.test.ts',
  '22-syslog-datagrams': 'datagrams alone: knockd-life.test.ts',
  '24e-not-root': 'an error alone: knockd-life.test.ts',
  '27-stress': 'figures: bench',
  '28-background-noise': 'a flood by chance: knockd-life.test.ts',
  '29-knock-client-wire': 'the client: test/client',
  '30-issue86-many-commands': '250,000 lines of one kind: bench',
  '35-latency': 'figures: bench',
  '36-hup-daemon-and-init-stop': 'a session typed by hand: knockd-life.test.ts',
};
const LABS = 3;

const names = skip ? [] : readdirSync(FOLDER).map((file) => file.replace(/\.txt$/, ''));

test('Every recorded run is replayed, or it is said where else it is tested', { skip }, () => {
  const unread = names.filter((name) => !(name in NOT_REPLAYED) && !read(name));
  assert.deepEqual(unread, []);
  const listed = [...Object.keys(DIFFERENCES), ...Object.keys(NOT_REPLAYED)];
  assert.deepEqual(
    listed.filter((name) => !names.includes(name)),
    [],
  );
});

describe('A recorded run of knockd 0.8, played to ours', { skip, concurrency: LABS }, () => {
  const labs: Lab[] = [];
  before(async () => {
    for (let count = 0; count < LABS; count += 1) labs.push(await openLab());
  });
  after(async () => {
    await Promise.all(labs.map((lab) => lab.topology.close()));
  });
  for (const name of names.filter((known) => !(known in NOT_REPLAYED))) {
    const difference = DIFFERENCES[name];
    test(difference ? `${name} differs: ${difference.why}` : `${name} is the same`, async () => {
      const lab = labs.pop();
      assert.ok(lab);
      try {
        const sample = read(name);
        assert.ok(sample);
        const outcome = await replay(lab, sample, STAGES[name.replace(/-.*/, '')]);
        const expected = { status: sample.status, ...difference };
        assert.deepEqual(differencesIn(outcome), plain(expected), outcome.transcript);
      } finally {
        labs.push(lab);
      }
    });
  }
});

function read(name: string): ReturnType<typeof parseSample> {
  return parseSample(name, readFileSync(join(FOLDER, `${name}.txt`), 'utf8'));
}

type Told = Required<Omit<Difference, 'why'>>;

function plain({ told = [], log = [], output = [], commands = [], status = 0 }: Partial<Difference>): Told {
  return { told, log, output, commands, status };
}

/** An outcome in the terms of the list: what log and output have in common stands once. */
function differencesIn(outcome: Outcome): Told {
  const log = outcome.log.map((line) => line.replace(/^([-+] )\[T\] /, '$1').replace(/⏎$/, '')).sort();
  const output = [...outcome.output].sort();
  const told: string[] = [];
  for (const line of [...log]) {
    const at = output.indexOf(line);
    if (at < 0) continue;
    told.push(line);
    output.splice(at, 1);
    log.splice(log.indexOf(line), 1);
  }
  return { told, log, output, commands: [...outcome.commandOutput].sort(), status: outcome.status };
}
