/**
 * Halves that die and hang under a real systemd, and changes that nobody confirms. As in a container, the id of the boot that commands see is
 * not the one that the service sees in its own /proc.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CONFIG, type MachineStage } from '../support/machine-stage.ts';
import { sshDoor } from '../support/posternd-host.ts';
import { installUnits, type SystemdMachine, systemdStage, systemdUnavailable } from '../support/systemd-machine.ts';

const SSH = `[capture]\ninterfaces = ["eth0"]\n${sshDoor('60s')}`;
/** A watcher that hangs is asked every ten seconds, and waited for as long. */
const HANGS = 30_000;

describe('under systemd, when a half fails', { skip: systemdUnavailable() }, () => {
  let stage: MachineStage<SystemdMachine>;
  before(async () => {
    stage = await systemdStage();
    await stage.write(CONFIG, SSH);
    await installUnits(stage.machine);
  });
  after(() => stage?.[Symbol.asyncDispose]());

  const keeper = (): Promise<string> => stage.machine.property('posternd', 'MainPID');
  const watcher = async (): Promise<number> =>
    (await stage.postern<{ watcher: { pid: number } }>('status')).watcher.pid;
  const signal = async (name: string, pid: string | number): Promise<void> =>
    void (await stage.machine.exec(['kill', `-${name}`, `${pid}`]));
  /** Another main process than this one, that has said it is ready. */
  const comesBack = (pid: string, patience?: number): Promise<void> =>
    stage.eventually(
      async () => (await keeper()) !== pid && (await stage.machine.property('posternd', 'ActiveState')) === 'active',
      patience,
    );

  test('a keeper that is killed is started again; the guard holds, and who was let in stays in', async () => {
    await stage.knock();
    await stage.eventually(() => stage.reaches(22));
    const pid = await keeper();
    await signal('KILL', pid);
    let shut = 0;
    const back = comesBack(pid);
    let over = false;
    void back.finally(() => {
      over = true;
    });
    while (!over) if (!(await stage.reaches(22))) shut += 1;
    await back;
    assert.equal(shut, 0);
    assert.equal(await stage.machine.property('posternd', 'NRestarts'), '1');
    const { doors } = await stage.postern<{ doors: { grants: { source: string }[] }[] }>('status');
    assert.deepEqual(
      doors.flatMap(({ grants }) => grants.map(({ source }) => source)),
      [stage.client.address4],
    );
  });

  test('a watcher that hangs is replaced, and the keeper lives', async () => {
    const [pid, hung] = [await keeper(), await watcher()];
    await signal('STOP', hung);
    await stage.eventually(async () => (await watcher()) !== hung, HANGS);
    assert.equal(await keeper(), pid);
    await stage.machine.exec(['postern', 'close', 'ssh']);
    assert.equal(await stage.reaches(22), false);
    await stage.knock();
    await stage.eventually(() => stage.reaches(22));
  });

  test('a keeper that hangs is ended by the watchdog, and comes back', async () => {
    await stage.machine.dropIn('posternd', 'WatchdogSec=4s');
    await stage.machine.systemctl('restart', 'posternd');
    const pid = await keeper();
    await signal('STOP', pid);
    await comesBack(pid, 20_000);
    assert.match(await stage.machine.journal('posternd'), /Watchdog timeout/);
    assert.equal(await stage.reaches(22), true);
  });

  test('a change that nobody confirms is taken back by a timer of systemd, when all else that was started is dead', async () => {
    const { machine } = stage;
    await stage.write(CONFIG, `${SSH}[door.www]\nprotect = ["tcp/80"]\n`);
    const trial = machine.spawn(['postern', 'apply', '--yes', '--confirm-within', '8s']);
    await trial.waitForLine(/^In force for 8s/);
    const { stdout } = await machine.systemctl('list-units', '--plain', '--no-legend', 'postern-rollback-*.timer');
    assert.match(stdout, /^postern-rollback-[0-9a-f]{8}\.timer +loaded +active/);
    const { stdout: processes } = await machine.exec(['ps', '-e', '-o', 'pid=,args=']);
    const started = [...processes.matchAll(/^ *(\d+) .*\/postern (?:apply|rollback) /gm)].map(([, pid = '']) => pid);
    assert.equal(started.length, 2, processes);
    await machine.exec(['kill', '-KILL', ...started]);
    await signal('KILL', await keeper());
    assert.equal((await trial.ended).signal, 'SIGKILL');
    assert.equal(await stage.reaches(80), false);
    await stage.eventually(() => stage.reaches(80), 20_000);
    await stage.eventually(async () => (await stage.read(CONFIG)) === SSH);
    assert.equal(await stage.read(`${CONFIG}.rejected`).then((text) => text.includes('[door.www]')), true);
    await stage.eventually(async () => (await machine.property('posternd', 'ActiveState')) === 'active');
    assert.match(await machine.journal('postern-rollback-*'), /Started postern-rollback-.*\.service/);
  });

  test('a change that was on trial when the machine went down is not in force after it', async () => {
    const { machine } = stage;
    await stage.write(CONFIG, `${SSH}[door.www]\nprotect = ["tcp/80"]\n`);
    const trial = machine.spawn(['postern', 'apply', '--yes', '--confirm-within', '60s']);
    await trial.waitForLine(/^In force for 60s/, HANGS);
    assert.equal(await stage.reaches(80), false);
    await machine.reboot(['systemctl', 'reboot', '--force', '--force']);
    assert.deepEqual([await stage.reaches(22), await stage.reaches(80)], [false, true]);
    assert.doesNotMatch(await stage.read('/run/rules-before-network'), /80 : goto/);
    const { warnings } = await stage.postern<{ warnings: string[] }>('status');
    assert.match(warnings.join('\n'), /was on trial when the machine went down: what was in force before is back/);
  });
});
