/** What a reload may put in force, and what is remembered of it. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LiveConfig, type LivePorts } from '../../src/cli/live-config.ts';
import { loadPosternToml } from '../../src/cli/load-postern-toml.ts';
import { readApplied } from '../../src/store/pending-change.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const DOOR = '[door.ssh]\nprotect = ["tcp/22"]\n';

function scene(folder: string, trial: Partial<LivePorts['trial']> = {}) {
  const own = join(folder, 'postern.toml');
  const state = join(folder, 'state');
  const text = (rest: string): string => `[state]\ndir = "${state}"\n${rest}`;
  const write = (rest: string): void => writeFileSync(own, text(rest), { mode: 0o600 });
  mkdirSync(state);
  write(DOOR);
  const { config } = loadPosternToml(own, { shownAs: own, strict: false });
  assert.ok(config);
  const told: string[] = [];
  const ports: LivePorts = {
    trial: {
      file: undefined,
      isOn: () => false,
      loaded: () => void told.push('loaded'),
      objection: () => undefined,
      status: () => undefined,
      ...trial,
    },
    warn: (line) => void told.push(line),
  };
  const file = { own, shown: 'postern.toml', strict: false, keepsFew: true };
  const live = new LiveConfig(file, ports, { config, text: text(DOOR), warnings: ['said at the start'] });
  return { own, state, write, text, told, live };
}

test('what is in force is remembered, at the start and after a reload, and not before', () => {
  using folder = temporaryFolder();
  const { state, write, text, told, live } = scene(folder.path);
  live.started();
  assert.deepEqual([readApplied(state), live.warnings], [text(DOOR), ['said at the start']]);
  const other = DOOR.replace('22', '23');
  write(other);
  assert.equal(live.load().config.doors[0]?.protect[0]?.first, 23);
  assert.equal(readApplied(state), text(DOOR), 'it was only read');
  live.loaded();
  assert.deepEqual([readApplied(state), live.warnings, told], [text(other), [], ['loaded', 'loaded']]);
});

test('a file with an error changes nothing, nor does a trial of another file', () => {
  using folder = temporaryFolder();
  const { write, live } = scene(folder.path);
  write(DOOR.replace('protect', 'protcet'));
  assert.throws(() => live.load(), /postern\.toml:4: .*"protcet"[\s\S]*The configuration is unchanged$/);
  using another = temporaryFolder();
  const { live: busy } = scene(another.path, { file: '/elsewhere/postern.toml' });
  assert.throws(() => busy.load(), /reads .*postern\.toml, not \/elsewhere\/postern\.toml\n[\s\S]*hint: /);
});

test('while a trial goes on, what it objects to is refused, and so is what only a restart would try', () => {
  using folder = temporaryFolder();
  const { live } = scene(folder.path, { objection: () => 'has changed since' });
  assert.throws(() => live.load(), /^Refusal: has changed since$/);
  using another = temporaryFolder();
  const { write, live: tried } = scene(another.path, { isOn: () => true });
  write(`${DOOR}[firewall]\nipv6_prefix = 56\n`);
  assert.throws(() => tried.load(), /cannot be tried while the daemon runs: .*ipv6_prefix/);
});

test('who reloads what is on trial is told so, and a refusal leaves what is remembered', () => {
  using folder = temporaryFolder();
  const status = () => ({ file: '/etc/postern/postern.toml', remaining_ms: 4200 });
  const { state, write, text, live } = scene(folder.path, { status });
  live.started();
  assert.match(live.load().warnings.join(), /on trial for another 5 s/);
  write('[door.ssh]\n');
  assert.throws(() => live.load(), /The configuration is unchanged$/);
  assert.equal(readApplied(state), text(DOOR));
});

test('a daemon that has given its capabilities up says what hooks will not have', () => {
  using folder = temporaryFolder();
  const { write, live } = scene(folder.path);
  write(`${DOOR}on_open = ["/bin/true"]\n`);
  const { warnings } = live.load();
  assert.match(warnings.at(-1) ?? '', /^Hooks have the capabilities that the daemon has kept/);
});
