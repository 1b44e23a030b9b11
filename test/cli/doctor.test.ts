/** What `postern doctor` makes of what it is told, one check at a time; whole, on hosts, it is in `test/e2e/posternd-doctor.test.ts`. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { judgeKeeper, shutIn } from '../../src/cli/cage-diagnosis.ts';
import { judgeClock, writtenAt } from '../../src/cli/clock-diagnosis.ts';
import type { Diagnosis } from '../../src/cli/diagnosis.ts';
import { main } from '../../src/cli/postern.ts';
import { judgeConfigFile, judgeStateFolder } from '../../src/cli/secrets-diagnosis.ts';
import { judgeInterfaces } from '../../src/cli/ways-in.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { isLoopback, printAddress } from '../../src/core/address.ts';
import { addressesOf, interfaceNames } from '../../src/platform/interfaces.ts';
import type { ProcessStatus } from '../../src/platform/process-status.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function lines(found: Iterable<Diagnosis>): string[] {
  return [...found].map(({ status, message, hint }) => [`${status}: ${message}`, hint].filter(Boolean).join(' # '));
}

const CAGED: ProcessStatus = { uids: [65_527], capabilities: 0n, noNewPrivs: true, filtered: true, unlimited: [] };

test('a cage with every layer is shown with them all', () => {
  assert.deepEqual(lines(shutIn('watcher', 'user 65527, landlock 7, seccomp', CAGED)), [
    'ok: the watcher is shut in: user 65527, landlock 7, seccomp, no_new_privs, no capability, limits',
  ]);
});

test('every layer that is missing is warned of, with its remedy', () => {
  const lacking = (confinement: string, changes: Partial<ProcessStatus> = {}): string[] =>
    [...shutIn('watcher', confinement, { ...CAGED, ...changes })].map(({ status, message, hint = '' }) => {
      assert.equal(status, 'warning');
      assert.notEqual(hint, '');
      return message.replace(/^The watcher is shut in without | \(.*/g, '');
    });
  const whole = 'user 65527, landlock 7, seccomp';
  assert.deepEqual(lacking('user 65527, no landlock, no seccomp'), ['Landlock', 'a system call filter']);
  assert.deepEqual(lacking('user 0, landlock 7, seccomp'), ['a user id of its own: it is root still']);
  assert.deepEqual(lacking(whole, { noNewPrivs: false }), ['no_new_privs']);
  assert.deepEqual(lacking(whole, { filtered: false }), ['a system call filter on every thread']);
  assert.deepEqual(lacking(whole, { capabilities: 1n << 12n }), ['giving its capabilities up']);
  assert.deepEqual(lacking(whole, { uids: [0, 65_527] }), ['one user id: its threads are of users 0 and 65527']);
  assert.deepEqual(lacking(whole, { unlimited: ['core files'] }), ['limits: it may have core files']);
});

test('a keeper that holds more than it needs is warned of, unless its hooks need it', () => {
  const kept = ['CAP_NET_ADMIN', 'CAP_NET_RAW'];
  assert.deepEqual(lines([judgeKeeper(kept, false)]), ['ok: the keeper holds CAP_NET_ADMIN, CAP_NET_RAW']);
  assert.equal(judgeKeeper([...kept, 'CAP_DAC_READ_SEARCH'], false).status, 'ok');
  assert.equal(judgeKeeper([...kept, 'CAP_SETUID'], true).status, 'ok');
  const { status, message } = judgeKeeper([...kept, 'CAP_SETUID'], false);
  assert.equal(status, 'warning');
  assert.match(message, /3 capabilities, such as CAP_SETUID: it needs/);
});

test('a clock that was later already is behind, and one that nobody keeps may be', () => {
  const now = Date.UTC(2030, 0, 31);
  const at = (time: number) => [{ what: 'The newest event', time }];
  assert.deepEqual(lines(judgeClock({ now, past: at(now + 60_000), synchronized: true })), [
    'ok: is kept by a time service, and goes forward',
  ]);
  const [behind, ...rest] = lines(judgeClock({ now, past: at(now + 86_400_000), synchronized: undefined }));
  assert.match(behind ?? '', /^broken: The newest event is from 2030-02-01T00:00:00.000Z: the clock is behind # Set/);
  assert.deepEqual(rest, []);
  const [alone] = judgeClock({ now, past: [], synchronized: false });
  assert.equal(alone?.status, 'warning');
});

test('what is in the state counts for the clock as the configuration does', () => {
  using folder = temporaryFolder();
  const [file, state] = [join(folder.path, 'postern.toml'), join(folder.path, 'state')];
  mkdirSync(state);
  for (const path of [file, join(state, 'state.sqlite')]) writeFileSync(path, '');
  assert.deepEqual(
    writtenAt(file, state).map(({ what }) => what),
    [file, join(state, 'state.sqlite')],
  );
  assert.deepEqual(writtenAt(join(folder.path, 'none'), undefined), []);
});

test('every file with knocks in it that others can read or change is named, with the command that helps', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const state = join(folder.path, 'state');
  mkdirSync(state, { mode: 0o700 });
  chmodSync(folder.path, 0o755);
  const write = (path: string, mode: number): void => {
    writeFileSync(path, '');
    chmodSync(path, mode);
  };
  write(file, 0o600);
  write(join(state, 'applied.toml'), 0o644);
  const told = (): string[] =>
    lines([...judgeConfigFile(file, 'postern.toml'), ...judgeStateFolder(state)]).map((line) =>
      line.replaceAll(folder.path, 'FOLDER'),
    );
  // Nobody gets as far as there.
  assert.deepEqual(told(), ['ok: postern.toml is safe from others', 'ok: FOLDER/state is safe from others']);
  chmodSync(state, 0o755);
  write(`${file}.rejected`, 0o644);
  write(join(state, 'pending.json'), 0o646);
  assert.deepEqual(told(), [
    'ok: postern.toml is safe from others',
    'warning: Others can read FOLDER/postern.toml.rejected, and with it knocks, old ones or new # chmod 600 FOLDER/postern.toml.rejected',
    'broken: Others can change FOLDER/state/pending.json # chmod 600 FOLDER/state/pending.json',
    'warning: Others can read FOLDER/state/applied.toml, and with it the knocks, or who came # chmod 600 FOLDER/state/applied.toml',
  ]);
  chmodSync(file, 0o622);
  assert.equal(told()[0], 'broken: Others can change postern.toml # chmod go-w postern.toml');
});

test('who came in by another interface is told to listen there, too', (t) => {
  const outside = interfaceNames().find((name) => addressesOf(name, false).some((address) => !isLoopback(address)));
  if (outside === undefined) return t.skip('there is no interface with an address here');
  const server = printAddress(addressesOf(outside, false)[0]!);
  const parsed = parsePosternToml('[capture]\ninterfaces = ["lo"]\n[door.ssh]\nprotect = ["tcp/22"]\n', { file: 'x' });
  assert.ok(parsed.ok);
  const environment = { SSH_CONNECTION: `192.0.2.7 50123 ${server} 22` };
  const [found] = judgeInterfaces(parsed.config, { environment });
  assert.equal(found?.status, 'warning');
  assert.match(found?.hint ?? '', new RegExp(`^Write interfaces = \\["lo", (.*, )?"${outside}"`));
});

test('a knock for an address that is not of this host is heard by nobody', () => {
  const door = '[door.ssh]\nprotect = ["tcp/22"]\n[door.ssh.knock]\nsteps = ["tcp/7000", "udp/8000"]\ntarget = ';
  const said = (target: string): readonly string[] => {
    const parsed = parsePosternToml(`[capture]\ninterfaces = ["any"]\n${door}"${target}"\n`, { file: 'x' });
    assert.ok(parsed.ok);
    return [...judgeInterfaces(parsed.config, { environment: {} })].map(({ message }) => message);
  };
  const [found, ...rest] = said('198.51.100.77');
  assert.equal(found, 'No knock on ssh is heard: its target, 198.51.100.77, is no address of this host');
  assert.deepEqual(said('127.0.0.1'), rest);
});

test('who may not read the configuration is told that it is for root', {
  skip: process.geteuid?.() !== 0 && 'needs root, to become somebody else',
}, async () => {
  using folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  const file = join(folder.path, 'postern.toml');
  writeFileSync(file, '[door.ssh]\nprotect = ["tcp/22"]\n', { mode: 0o600 });
  const terminal = new FakeTerminal();
  process.seteuid?.(65_534);
  try {
    assert.equal(
      await main(['--config', file, '--socket', join(folder.path, 'none'), 'doctor', '--json'], terminal),
      1,
    );
  } finally {
    process.seteuid?.(0);
  }
  const [first] = JSON.parse(terminal.out) as Diagnosis[];
  assert.match(first?.message ?? '', /Permission denied/);
  assert.equal(first?.hint, `It is for root to read: sudo postern --config ${file} doctor`);
});
