/**
 * The scripts of packaging/openrc, seen: a machine that a real OpenRC runs, and a client that knocks.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * The tests are one story, in order.
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, type TestContext, test } from 'node:test';
import type { Machine } from '../support/machine.ts';
import { CONFIG, type MachineStage } from '../support/machine-stage.ts';
import { installScripts, openrcStage, openrcUnavailable, unpackOpenrc } from '../support/openrc-machine.ts';
import { sshDoor } from '../support/posternd-host.ts';
import type { Ended } from '../support/running.ts';
import type { TemporaryFolder } from '../support/temporary-folder.ts';

const SSH = `[capture]\ninterfaces = ["eth0"]\n${sshDoor('2s')}`;
const DOORS = `${SSH}[door.www]\nprotect = ["tcp/80"]\nboot = "open"\n`;

interface Status {
  readonly doors: readonly { readonly name: string }[];
  readonly warnings: readonly string[];
  readonly watcher: { readonly confinement: string };
}

describe('under OpenRC', { skip: openrcUnavailable('ps') }, () => {
  let openrc: TemporaryFolder | undefined;
  let stage: MachineStage<Machine>;
  before(async () => {
    openrc = await unpackOpenrc();
    if (openrc) stage = await openrcStage(openrc.path);
  });
  beforeEach((context) => {
    if (!openrc) (context as TestContext).skip('apt-get has no openrc to download');
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
    openrc?.[Symbol.dispose]();
  });

  const run = (...argv: readonly string[]): Promise<Ended> => stage.machine.exec(argv, { mayFail: true });
  const service = (word: string): Promise<Ended> => run('rc-service', 'posternd', word);
  const keeper = async (): Promise<string | undefined> => {
    const { stdout } = await run('ps', '-e', '-o', 'pid=,ppid=,args=');
    const [, supervisor] = /^ *(\d+) .*supervise-daemon posternd/m.exec(stdout) ?? [];
    return new RegExp(`^ *(\\d+) +${supervisor} `, 'm').exec(stdout)?.[1];
  };
  const answers = async (): Promise<boolean> => (await run('postern', 'status')).status === 0;
  const reaches = async (): Promise<readonly [ssh: boolean, www: boolean]> => [
    await stage.reaches(22),
    await stage.reaches(80),
  ];

  test('it starts, without a doubt of its own, and a knock opens the door, which closes in time', async () => {
    await installScripts(stage.machine);
    await stage.write(CONFIG, DOORS);
    for (const [name, level] of [
      ['postern-guard', 'boot'],
      ['posternd', 'default'],
    ] as const)
      assert.equal((await run('rc-update', 'add', name, level)).status, 0);
    const started = await service('start');
    assert.equal(started.status, 0, started.stderr);
    await stage.eventually(answers);
    const { warnings, watcher } = await stage.postern<Status>('status');
    assert.deepEqual(warnings, []);
    assert.match(watcher.confinement, /^user [1-9]\d*, landlock \d+, seccomp$/);
    assert.deepEqual(await reaches(), [false, false]);
    await stage.opensAndCloses();
  });

  test('`rc-service posternd reload` puts a configuration in force, or fails and says why', async () => {
    const pid = await keeper();
    await stage.write(CONFIG, SSH);
    assert.equal((await service('reload')).status, 0);
    assert.deepEqual(await reaches(), [false, true]);
    await stage.write(CONFIG, `${SSH}[door.www]\nprotect = ["tcp/0"]\n`);
    const refused = await service('reload');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /postern\.toml:\d+: .*tcp\/0/);
    await stage.write(CONFIG, DOORS);
    assert.equal((await service('reload')).status, 0);
    assert.deepEqual(await reaches(), [false, false]);
    assert.equal(await keeper(), pid);
  });

  test('whatever ends it, it is started again, and the guard holds meanwhile', async () => {
    for (const signal of ['KILL', 'TERM']) {
      const pid = await keeper();
      assert.ok(pid !== undefined);
      await run('kill', `-${signal}`, pid);
      assert.deepEqual(await reaches(), [false, false]);
      await stage.eventually(async () => (await keeper()) !== pid && (await answers()));
    }
    await stage.opensAndCloses();
  });

  test('stopped, it leaves the guard', async () => {
    assert.equal((await service('stop')).status, 0);
    assert.equal(await keeper(), undefined);
    assert.deepEqual(await reaches(), [false, false]);
    assert.equal((await service('status')).status, 3);
  });

  test('after a restart of the machine doors are closed before there is a network, but those that are to be open', async () => {
    // Settings of the daemon are the guard's, too.
    const elsewhere = '/etc/postern/gate.toml';
    await run('mv', CONFIG, elsewhere);
    await stage.write('/etc/conf.d/posternd', `posternd_config="${elsewhere}"\n`);
    await stage.machine.reboot(['openrc-shutdown', '--reboot', 'now']);
    const rules = await stage.read('/run/rules-before-network');
    assert.match(rules, /elements = \{ 22 : goto tcp4_22 \}/);
    assert.doesNotMatch(rules, /80 : goto/);
    await stage.eventually(answers);
    assert.deepEqual(await reaches(), [false, false]);
    await stage.opensAndCloses();
  });
});
