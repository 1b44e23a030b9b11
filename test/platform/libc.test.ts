/** Watching descriptors, in a process of its own. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Running } from '../support/running.ts';

const LIBC = join(import.meta.dirname, '../../src/platform/libc.ts');

test('what is thrown while a descriptor is read ends the process, as anywhere else', {
  skip: process.platform !== 'linux' && 'needs Linux',
}, async () => {
  const program = `import { watchReadable } from ${JSON.stringify(LIBC)};
    const watch = watchReadable(0, () => { throw new Error('broken'); }, () => {});
    setInterval(() => watch, 1000);`;
  const { status, stderr } = await new Running([process.execPath, '--input-type=module', '-e', program], {
    input: 'x',
  }).end({ mayFail: true, timeout: 20_000 });
  assert.deepEqual([status, /Error: broken/.test(stderr)], [1, true], stderr);
});
