/** Runs in a network namespace of its own, where nobody minds a few thousand addresses. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { unavailable } from '../support/netns.ts';

const MODULE = new URL('../../src/platform/route-monitor.ts', import.meta.url).href;

/** Floods the monitor while it cannot read, then changes one more thing, and ends with status 0 when that is told too. */
const PROGRAM = `
  import { spawnSync } from 'node:child_process';
  import { watchRoutes } from '${MODULE}';
  const ip = (lines) => spawnSync('ip', ['-batch', '-'], { input: lines.join('\\n') });
  let told = () => {};
  const monitor = watchRoutes(() => told());
  const next = () => new Promise((resolve) => { told = resolve; });
  const flooded = next();
  ip(Array.from({ length: 4000 }, (_, index) => \`addr add 127.1.\${index >> 8}.\${index & 255}/8 dev lo\`));
  await flooded;
  await new Promise((resolve) => setTimeout(resolve, 50));
  const again = next();
  ip(['addr add 127.2.0.1/8 dev lo']);
  await again;
  monitor.close();
`;

test('A monitor that was told of more than it could read hears the next change', { skip: unavailable() }, () => {
  const args = ['--net', process.execPath, '--input-type=module', '-e', PROGRAM];
  const { status, signal, stderr } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 10_000 });
  assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
});
