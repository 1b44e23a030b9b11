/** What doc/control.md shows is done here, line by line, before a pretended daemon. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REQUESTS } from '../../src/control/request.ts';
import { HISTORY_WORDS } from '../../src/control/wire-event.ts';
import { controlDaemon } from '../support/control-daemon.ts';
import { ControlPeer } from '../support/control-peer.ts';
import { ENTRIES, STATUS } from '../support/fake-controlled.ts';

const page = readFileSync(join(import.meta.dirname, '../../doc/control.md'), 'utf8');
const sessions = [...page.matchAll(/^```console\n\$ nc -U \S+\n([^`]+)^```$/gm)].map(([, lines = '']) =>
  lines.trim().split('\n'),
);

test('doc/control.md shows sessions', () => assert.equal(sessions.length, 4));

for (const [index, lines] of sessions.entries()) {
  test(`session ${index + 1} of doc/control.md goes as it is shown`, async () => {
    await using at = await controlDaemon({ log: async ({ limit }) => ENTRIES.slice(1, 1 + (limit ?? 0)) });
    using peer = await ControlPeer.connect(at.socket);
    for (const line of lines) {
      if (!line.startsWith('{"v":1')) {
        peer.socket.write(`${line}\n`);
        continue;
      }
      const { event } = JSON.parse(line) as { event?: { type: string } };
      const { time } = ENTRIES[1]!;
      if (event?.type === 'stage')
        at.daemon.happen({ kind: 'stage', time, door: 'ssh', source: '192.0.2.7', stage: 2, of: 3 });
      else if (event) at.daemon.happen({ kind: 'history', entry: ENTRIES[1]! });
      assert.equal(await peer.line(), line);
    }
  });
}

test('the status in doc/control.md is one', () => {
  const [, text = ''] = /^```json\n([^`]+)^```$/m.exec(page) ?? [];
  assert.deepEqual(JSON.parse(text), STATUS);
});

test('doc/control.md has every request with its keys, and every type of event', () => {
  for (const [name, { keys }] of Object.entries(REQUESTS)) {
    const cells = keys.map((key) => (key.endsWith('?') ? `\`${key.slice(0, -1)}\`?` : `\`${key}\``)).join(', ');
    assert.ok(page.includes(`| \`${name}\` | ${cells === '' ? '' : `${cells} `}|`), name);
  }
  for (const [type, words] of Object.entries(HISTORY_WORDS))
    assert.ok(page.includes(`| \`${type}\` | ${words} |`), type);
});
