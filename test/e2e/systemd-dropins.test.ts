/**
 * The sandbox of posternd.service and what doc/service.md gives more of: without the lines of its table a thing does not work and is told, with
 * them it does.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CONFIG, type MachineStage } from '../support/machine-stage.ts';
import { sshDoor } from '../support/posternd-host.ts';
import { installUnits, type SystemdMachine, systemdStage, systemdUnavailable } from '../support/systemd-machine.ts';

const doors = (rest = ''): string => `[capture]\ninterfaces = ["eth0"]\n${sshDoor('2s', rest)}`;

describe('drop-ins of posternd.service', { skip: systemdUnavailable() }, () => {
  let stage: MachineStage<SystemdMachine>;
  before(async () => {
    stage = await systemdStage();
    await stage.write(CONFIG, doors());
    await installUnits(stage.machine);
  });
  beforeEach(async () => {
    await stage.machine.systemctl('stop', 'posternd');
    await stage.machine.exec(['nft', 'flush', 'ruleset']);
  });
  after(() => stage?.[Symbol.asyncDispose]());

  /** Starts it anew with this configuration and, if given, these lines; what does it complain of? */
  const startWith = async (config: string, lines = ''): Promise<string> => {
    const { machine } = stage;
    await machine.systemctl('stop', 'posternd');
    await stage.write(CONFIG, config);
    await machine.dropIn('posternd', lines);
    const { status } = await machine.systemctl('start', 'posternd');
    if (status !== 0) return 'failed';
    const invocation = `_SYSTEMD_INVOCATION_ID=${await machine.property('posternd', 'InvocationID')}`;
    await machine.exec(['journalctl', '--sync']);
    const { stdout } = await machine.exec(['journalctl', '-o', 'cat', invocation]);
    return stdout
      .split('\n')
      .filter((line) => /warning|Cannot/.test(line))
      .join('\n');
  };
  const banned = async (): Promise<string> => {
    await stage.machine.exec(['postern', 'ban', stage.client.address4]);
    const reached = await stage.reaches(22);
    await stage.machine.exec(['postern', 'unban', stage.client.address4]);
    return reached ? 'held' : 'dropped';
  };

  test('a log file takes a folder for logs', async () => {
    const config = `${doors()}[log]\nfile = "/var/log/postern/postern.log"\n`;
    assert.match(await startWith(config), /Cannot open the log file \/var\/log\/postern/);
    assert.equal(await startWith(config, 'LogsDirectory=postern'), '');
    assert.match(await stage.read('/var/log/postern/postern.log'), /started: 1 door/);
  });

  test('a state elsewhere takes the right to write there', async () => {
    await stage.machine.exec(['mkdir', '/srv/postern']);
    const config = `[state]\ndir = "/srv/postern"\n${doors()}`;
    assert.match(await startWith(config), /Cannot write to \/srv\/postern/);
    assert.equal(await startWith(config, 'ReadWritePaths=/srv/postern'), '');
  });

  test('a tarpit takes IP sockets, and to be reached by them', async () => {
    const config = `${doors()}[tarpit]\n`;
    assert.match(await startWith(config), /Cannot listen .*may not use IP sockets/);
    assert.equal(await banned(), 'dropped');
    assert.equal(await startWith(config, 'RestrictAddressFamilies=AF_INET AF_INET6'), '');
    assert.equal(await banned(), 'dropped');
    assert.equal(await startWith(config, 'RestrictAddressFamilies=AF_INET AF_INET6\nIPAddressDeny='), '');
    assert.equal(await banned(), 'held');
  });

  test('a hook takes a place to write, and the capability for what it does', async () => {
    const hook = '#!/bin/sh\ntouch /srv/doors/open && chown nobody /srv/doors/open\n';
    await stage.write('/usr/local/bin/hook', hook);
    await stage.machine.exec(['sh', '-c', 'chmod 755 /usr/local/bin/hook; mkdir /srv/doors']);
    const hooked = async (): Promise<readonly string[]> =>
      (await stage.machine.exec(['postern', 'log', '-t', 'hooked', '--json'])).stdout.match(/"hooked"/g) ?? [];
    const owner = async (lines: string): Promise<string> => {
      assert.equal(await startWith(doors('on_open = ["/usr/local/bin/hook"]'), lines), '');
      // A knock while the door is open renews, and runs no hook.
      await stage.eventually(async () => !(await stage.reaches(22)));
      const before = (await hooked()).length;
      await stage.knock();
      let found = '';
      // What goes well and says nothing is not written down.
      await stage.eventually(async () => {
        const over = (await hooked()).length > before;
        found = (await stage.machine.exec(['stat', '-c', '%U', '/srv/doors/open'], { mayFail: true })).stdout.trim();
        return over || found === 'nobody';
      });
      await stage.machine.exec(['rm', '-f', '/srv/doors/open']);
      return found;
    };
    assert.equal(await owner(''), '');
    assert.equal(await owner('ReadWritePaths=/srv/doors'), 'root');
    assert.equal(await owner('ReadWritePaths=/srv/doors\nCapabilityBoundingSet=CAP_CHOWN'), 'nobody');
  });

  test("a configuration that is somebody else's takes the capability to read it", async () => {
    const { machine } = stage;
    await machine.exec(['chown', 'daemon:daemon', CONFIG]);
    assert.equal(await startWith(doors()), 'failed');
    assert.equal(await startWith(doors(), 'CapabilityBoundingSet=CAP_DAC_READ_SEARCH'), '');
    await machine.exec(['chown', 'root:root', CONFIG]);
  });

  test('without the group its line has to go', async () => {
    await stage.machine.exec(['sed', '-i', '/^postern:/d', '/etc/passwd', '/etc/group', '/etc/gshadow']);
    assert.equal(await startWith(doors()), 'failed');
    assert.equal(await startWith(doors(), 'SupplementaryGroups='), '');
    await stage.opensAndCloses();
  });
});
