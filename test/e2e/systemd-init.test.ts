/**
 * From nothing to a hidden port that stays hidden, as somebody new would: the commands of README.md before there is a configuration, then
 * `postern init`, under a real systemd.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PACKAGE } from '../support/machine.ts';
import { CONFIG, type MachineStage } from '../support/machine-stage.ts';
import type { Running } from '../support/running.ts';
import { type SystemdMachine, systemdStage, systemdUnavailable } from '../support/systemd-machine.ts';

const KNOCK = join(import.meta.dirname, '../../bin/knock');

describe('a first door under systemd', { skip: systemdUnavailable() }, () => {
  let stage: MachineStage<SystemdMachine>;
  before(async () => {
    stage = await systemdStage();
  });
  after(() => stage?.[Symbol.asyncDispose]());

  const state = (unit: string): Promise<string> => stage.machine.property(unit, 'ActiveState');
  const init = async (within: string): Promise<Running> => {
    const words = [
      '--yes',
      '--interface',
      'eth0',
      '--protect',
      'tcp/22',
      '--open-for',
      '2s',
      '--confirm-within',
      within,
    ];
    const trial = stage.machine.spawn(['postern', 'init', ...words]);
    await trial.waitForLine(/^In force for /, 20_000);
    return trial;
  };

  test('the commands of README.md take what they need, and nothing starts without a configuration', async () => {
    const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
    const [, block = ''] = /## To keep it\n\n```console\n([\s\S]*?)```/.exec(readme) ?? [];
    // The package is installed, npm's way.
    const commands = block.split('\n').flatMap((line) => /^\$ (?!npm )(.*)$/.exec(line)?.[1] ?? []);
    assert.ok(
      commands.some((line) => line.startsWith('systemctl enable')),
      block,
    );
    await stage.machine.exec(['sh', '-exc', ['mkdir -p /usr/lib/sysusers.d', `cd ${PACKAGE}`, ...commands].join('\n')]);
    assert.deepEqual([await state('posternd'), await state('postern-guard')], ['inactive', 'inactive']);
    assert.equal(await stage.reaches(22), true);
  });

  test('not confirmed, the first trial ends with all doors open and the service stopped', async () => {
    const trial = await init('3s');
    assert.deepEqual([await state('posternd'), await stage.reaches(22)], ['active', false]);
    assert.equal((await trial.ended).status, 1);
    assert.deepEqual([await state('posternd'), await stage.reaches(22)], ['inactive', true]);
    assert.equal((await stage.machine.exec(['test', '-e', CONFIG], { mayFail: true })).status, 1);
  });

  test('confirmed, it is the service that guards, also after a restart of the machine', async () => {
    const { machine, client } = stage;
    await machine.systemctl('disable', 'posternd', 'postern-guard');
    const trial = await init('60s');
    const [, words = ''] = /^ {2}knock (.+)$/m.exec(trial.lines.join('\n')) ?? [];
    const knock = async (): Promise<void> => void (await client.exec([process.execPath, KNOCK, ...words.split(' ')]));
    await knock();
    await stage.eventually(() => stage.reaches(22));
    const session = { SSH_CONNECTION: `${client.address4} 50123 10.77.1.1 22` };
    const confirm = ['env', ...Object.entries(session).map((pair) => pair.join('=')), 'postern', 'confirm'];
    const { stdout } = await machine.exec(confirm);
    assert.match(stdout, /^confirmed: .*\nhint: .*: systemctl enable posternd\n$/);
    assert.equal((await trial.ended).status, 0);
    await machine.systemctl('enable', 'posternd');
    await machine.reboot(['systemctl', 'reboot']);
    assert.equal(await stage.reaches(22), false);
    assert.match(await stage.read('/run/rules-before-network'), /22 : goto/);
    await knock();
    await stage.eventually(() => stage.reaches(22));
  });
});
