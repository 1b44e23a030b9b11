/** The last lines of `postern init`. What the host's firewall has to say is shown by test/e2e/posternd-trial.test.ts. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { bootRemark } from '../../src/cli/init-remarks.ts';
import { main } from '../../src/cli/postern.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('what starts the daemon at boot is told, and nothing that would put the file in force untried', () => {
  const usual = bootRemark('/etc/postern/postern.toml', true);
  assert.match(usual, /: systemctl enable posternd postern-guard \(doc\/service\.md\)$/);
  assert.match(bootRemark('/root/postern.toml', true), /its services read \/etc\/postern\/postern\.toml/);
  assert.match(bootRemark('/etc/postern/postern.toml', false), /by itself: doc\/service\.md/);
  for (const systemd of [true, false]) assert.doesNotMatch(bootRemark('/etc/postern/postern.toml', systemd), /--now/);
});

test('`postern init --no-apply` ends with what puts it in force, and what starts it at boot', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const terminal = new FakeTerminal();
  assert.equal(await main(['--config', file, 'init', '--yes', '--no-apply', '-i', 'lo'], terminal), 0);
  assert.deepEqual(terminal.out.trimEnd().split('\n').slice(-2), [
    `Put it in force, as root: postern --config ${file} apply`,
    bootRemark(file),
  ]);
});
