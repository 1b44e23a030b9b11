import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { unavailable } from '../support/netns.ts';

const PROGRAM = new URL('../support/small-filters.ts', import.meta.url).pathname;

test('Sockets with little memory get the filter that fits, or keep the one they have, and nothing throws', {
  skip: unavailable(),
}, (t) => {
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', process.execPath, PROGRAM], { encoding: 'utf8' });
  if (status === 77) return t.skip('needs a limit for each network namespace (Linux 6.8)');
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  const { failures, relaxed, many, starved, refreshed, recovered } = JSON.parse(stdout);
  assert.deepEqual(failures, []);
  assert.equal(many, undefined);
  assert.equal(relaxed[0], 'public ports');
  assert.match(starved, /memory/);
  const unchanged = { lost: [], back: [], readdressed: false };
  assert.deepEqual(refreshed, { ...unchanged, failed: starved });
  assert.deepEqual(recovered, unchanged);
});
