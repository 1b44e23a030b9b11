/** `boot` says what a door is until the daemon is ready: closed, unless the file says otherwise. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';

function read(line: string) {
  const text = new TextEncoder().encode(`[door.ssh]\nprotect = ["tcp/22"]\n${line}\n`);
  return parsePosternToml(text, { file: 'postern.toml', directory: '/etc/postern' });
}

for (const [line, boot] of [
  ['', 'closed'],
  ['boot = "closed"', 'closed'],
  ['boot = "open"', 'open'],
] as const) {
  test(`A door with ${line || 'no word about it'} is ${boot} until the daemon is ready`, () => {
    const result = read(line);
    assert.ok(result.ok);
    assert.equal(result.config.doors[0]?.boot, boot);
  });
}

for (const line of ['boot = "opened"', 'boot = true', 'boot = ""']) {
  test(`${line} is refused, with the words that there are`, () => {
    const { ok, problems } = read(line);
    assert.equal(ok, false);
    assert.match(JSON.stringify(problems), /closed.*open/);
    assert.equal(problems[0]?.line, 3);
  });
}
