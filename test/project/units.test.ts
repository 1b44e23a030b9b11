/**
 * The files that start the daemon: systemd takes its units without a word and says how exposed they are, shells take the scripts.
 * Nothing is started or installed here; the units are looked at in a folder of their own. How they run is in test/e2e/systemd.test.ts and
 * test/e2e/openrc.test.ts.
 */

import assert from 'node:assert/strict';
import { globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { findProgram, Running } from '../support/running.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = join(import.meta.dirname, '../..');
const UNITS = ['posternd.service', 'postern-guard.service', 'postern-knockd.service'] as const;
const analyze = findProgram('systemd-analyze');
const skip = analyze === undefined && 'not installed: systemd-analyze';
const isolated = { env: { LC_ALL: 'C', SYSTEMD_COLORS: '0' } };

/** The settings of a unit file, in order; a key may come again. */
function settings(name: string): readonly (readonly [string, string])[] {
  const lines = readFileSync(join(root, 'systemd', name), 'utf8').split('\n');
  return lines.flatMap((line) => {
    const match = /^([A-Za-z]+)=(.*)$/.exec(line);
    return match ? [[match[1]!, match[2]!] as const] : [];
  });
}

function valuesOf(name: string, key: string): readonly string[] {
  return settings(name).flatMap(([found, value]) => (found === key ? value.split(' ') : []));
}

/** The number and, by name, what adds to it. */
async function exposureOf(name: string): Promise<number> {
  const { stdout } = await new Running(
    [analyze!, 'security', '--offline=true', '--no-pager', join(root, 'systemd', name)],
    isolated,
  ).end();
  return Number(/Overall exposure level for \S+: (\d+\.\d)/.exec(stdout)?.[1]);
}

describe('systemd', { skip }, () => {
  /**
   * What is left of posternd.service is what it is for: root in the host's network, packet and firewall sockets, and the capability to
   * make the watcher somebody else.
   */
  for (const [name, most] of [
    ['posternd.service', 2.0],
    ['postern-guard.service', 1.6],
  ] as const) {
    test(`${name} is exposed by no more than ${most.toFixed(1)}`, async () => {
      const exposure = await exposureOf(name);
      assert.ok(exposure <= most, `${exposure}`);
    });
  }

  test('the units are taken without a complaint', async () => {
    using temporary = temporaryFolder();
    const folder = temporary.path;
    mkdirSync(join(folder, 'bin'));
    for (const program of ['posternd', 'postern', 'knockd']) symlinkSync('/bin/true', join(folder, 'bin', program));
    const files = UNITS.map((name) => join(folder, name));
    for (const [index, name] of UNITS.entries()) {
      const text = readFileSync(join(root, 'systemd', name), 'utf8');
      writeFileSync(files[index]!, text.replaceAll('/usr/local/bin/', `${folder}/bin/`));
    }
    const { stdout, stderr } = await new Running([analyze!, 'verify', '--man=no', ...files], isolated).end({
      mayFail: true,
    });
    const about = `${stdout}${stderr}`.split('\n').filter((line) => /postern|^\//.test(line));
    assert.deepEqual(about, []);
  });
});

test('The sandbox leaves the daemon its sockets, the watcher its confinement, and programs of hooks no way to more', () => {
  const families = valuesOf('posternd.service', 'RestrictAddressFamilies');
  assert.deepEqual(families.toSorted(), ['AF_NETLINK', 'AF_PACKET', 'AF_UNIX']);
  const calls = valuesOf('posternd.service', 'SystemCallFilter');
  for (const call of ['landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self', 'seccomp'])
    assert.ok(calls.includes(call), call);
  assert.deepEqual(valuesOf('posternd.service', 'NoNewPrivileges'), ['yes']);
  for (const name of ['posternd.service', 'postern-guard.service'])
    assert.ok(!valuesOf(name, 'ProcSubset').includes('pid'), 'sessions are read from /proc/net');
});

test('The daemon is started again for ever, told alive by pings, and its reload says what went wrong', () => {
  const name = 'posternd.service';
  assert.deepEqual(valuesOf(name, 'Type'), ['notify']);
  assert.deepEqual(valuesOf(name, 'Restart'), ['always']);
  assert.deepEqual(valuesOf(name, 'StartLimitIntervalSec'), ['0']);
  assert.match(valuesOf(name, 'WatchdogSec').join(), /^\d+s$/);
  assert.equal(valuesOf(name, 'ExecReload').at(-1), 'reload');
});

test('The guard comes before every interface, and before the daemon', () => {
  const before = valuesOf('postern-guard.service', 'Before');
  assert.ok(before.includes('network-pre.target') && before.includes('posternd.service'));
  assert.ok(valuesOf('posternd.service', 'After').includes('postern-guard.service'));
  assert.deepEqual(valuesOf('posternd.service', 'Also'), ['postern-guard.service']);
});

test('Folders and groups that the units name are made', () => {
  const users = readFileSync(join(root, 'packaging/sysusers.d/postern.conf'), 'utf8');
  for (const group of valuesOf('posternd.service', 'SupplementaryGroups'))
    assert.match(users, new RegExp(`^g ${group} `, 'm'));
  const folders = readFileSync(join(root, 'packaging/tmpfiles.d/postern.conf'), 'utf8');
  assert.match(folders, /^d +\/run\/postern +0700 +root +root /m);
  // Nothing that is there is emptied, removed or changed: lines that make folders and files, and no others.
  for (const line of folders.split('\n')) assert.match(line, /^(#.*|[df] +\/run\/\S+ .*|)$/);
});

test('Users and groups are written as systemd-sysusers reads them', {
  skip: findProgram('systemd-sysusers') === undefined && 'not installed: systemd-sysusers',
}, async () => {
  const file = join(root, 'packaging/sysusers.d/postern.conf');
  const { stderr } = await new Running(['systemd-sysusers', '--dry-run', file], isolated).end();
  assert.doesNotMatch(stderr, /postern\.conf:\d+|ignoring|[Ff]ailed/);
});

for (const file of globSync('packaging/{openrc/*,freebsd/*}', { cwd: root }).sort()) {
  test(`A shell takes ${file}`, async () => {
    const { stderr } = await new Running(['sh', '-n', join(root, file)]).end();
    assert.equal(stderr, '');
    const text = readFileSync(join(root, file), 'utf8');
    const [first = ''] = text.split('\n');
    if (file.endsWith('.initd')) assert.equal(first, '#!/sbin/openrc-run');
    if (file.includes('freebsd')) {
      assert.equal(first, '#!/bin/sh');
      assert.match(text, new RegExp(`^# PROVIDE: ${basename(file)}$`, 'm'));
      assert.match(text, /^run_rc_command "\$1"$/m);
      // rc.subr(8) runs NAME_program instead of what the script calls its command.
      assert.doesNotMatch(text, new RegExp(`${basename(file)}_program:?=`));
    }
  });
}
