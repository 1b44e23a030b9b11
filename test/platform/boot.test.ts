import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bootId } from '../../src/platform/boot.ts';
import { Running } from '../support/running.ts';

const MEMORY = '/dev/shm';
const skip = (!existsSync(MEMORY) || statfsSync(MEMORY).type !== 0x01021994) && `needs a tmpfs at ${MEMORY}`;

test('Whoever is first leaves the id of this boot for all; a folder that went with the machine has another', {
  skip,
}, async () => {
  const folder = mkdtempSync(join(MEMORY, 'postern-boot-'));
  try {
    const run = join(folder, 'run');
    const module = join(import.meta.dirname, '../../src/platform/boot.ts');
    const program = `import(${JSON.stringify(module)}).then(({ bootId }) => console.log(bootId(${JSON.stringify(run)})))`;
    const many = Array.from({ length: 4 }, () => new Running([process.execPath, '-e', program]).end());
    const ids = (await Promise.all(many)).map(({ stdout }) => stdout.trim());
    assert.deepEqual(new Set(ids), new Set([bootId(run)]));
    assert.match(ids[0] ?? '', /^[0-9a-f-]{36}$/);
    assert.deepEqual(readdirSync(run), ['boot']);
    rmSync(run, { recursive: true });
    assert.notEqual(bootId(run), ids[0]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("Where nothing can be left, it is the kernel's", {
  skip: process.platform !== 'linux' && 'needs Linux',
}, () => {
  assert.equal(bootId('/proc/nowhere'), readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
});
