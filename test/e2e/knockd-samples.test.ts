/**
 *     server kds0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 kdc0 client (packets also from .3 to .9, forged)
 *
 * Every recorded run of Debian's knockd 0.8, played again to ours: it says, logs, runs and answers the same, or differs in
 * the lines that `STAGED` lists with the reason. What is compared, and what is not: support/knockd-replay.ts.
 */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Lab, openLab, type Outcome, replay, type Staging } from '../support/knockd-replay.ts';
import { type KnockdSample, parseSample } from '../support/knockd-sample.ts';
import { unavailable } from '../support/netns.ts';

const FOLDER = join(import.meta.dirname, '../../../shared/specs/knockd-samples');
const skip = unavailable('knock', 'nft') || (!existsSync(FOLDER) && 'needs the recorded runs (../shared/specs)');
