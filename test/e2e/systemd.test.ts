/**
 * The units, seen: a machine that a real systemd runs, Postern installed in it as doc/service.md says, and a client that knocks.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * The tests are one story, in order. What happens when a half dies or hangs is in systemd-deaths.test.ts.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CONFIG, type MachineStage } from '../support/machine-stage.ts';
import { sshDoor } from '../support/posternd-host.ts';
import { installUnits, type SystemdMachine, systemdStage, systemdUnavailable } from '../support/systemd-machine.ts';

const CAPTURE = '[capture]\ninterfaces = ["eth0"]\n';
const SSH = `${CAPTURE}[log]\njournald = true\n${sshDoor('2s')}`;
const DOORS = `${SSH}[door.www]\nprotect = ["tcp/80"]\nboot = "open"\n`;

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
}

describe('under systemd', { skip: systemdUnavailable() }, () => {
  let stage: MachineStage<SystemdMachine>;
  before(async () => {
    stage = await systemdStage();
  });
  after(() => stage?.[Symbol.asyncDispose]());

  const mainPid = (): Promise<string> => stage.machine.property('posternd', 'MainPID');
  const reaches = async (): Promise<readonly [ssh: boolean, www: boolean]> => [
    await stage.reaches(22),
    await stage.reaches(80),
  ];

  test('it starts, installed with the commands of doc/service.md', async () => {
    const { machine } = stage;
    await stage.write(CONFIG, DOORS);
    assert.deepEqual(await reaches(), [true, true]);
    await installUnits(stage.machine);
    for (const unit of ['posternd', 'postern-guard'])
      assert.equal(await machine.property(unit, 'ActiveState'), 'active', await machine.journal(unit));
    assert.deepEqual(await reaches(), [false, false]);
    const places = ['/run/postern', '/run/xtables.lock', '/var/lib/postern', '/var/lib/postern/control.sock'];
    const { stdout } = await machine.exec(['stat', '-c', '%a %U:%G', ...places]);
    assert.deepEqual(stdout.trim().split('\n'), [
      '700 root:root',
      '600 root:root',
      '710 root:postern',
      '660 root:postern',
    ]);
    assert.match(await stage.read('/etc/passwd'), /^postern:.*:\/usr\/sbin\/nologin$/m);
  });

  test('inside its sandbox nothing is missing, and nothing else can be written or seen', async () => {
    const { machine } = stage;
    const status = await stage.postern<{ watcher: { confinement: string }; warnings: string[] }>('status');
    const user = (await machine.exec(['id', '-u', 'postern'])).stdout.trim();
    assert.match(status.watcher.confinement, new RegExp(`^user ${user}, landlock \\d+, seccomp$`));
    assert.deepEqual(status.warnings, []);
    const findings = await stage.postern<Finding[]>('doctor');
    // Nobody keeps the clock of this machine but that of the computer below it; and a knock is the only way in.
    const expected = ['clock', 'way in'];
    assert.deepEqual(
      findings.filter((finding) => finding.status !== 'ok' && !expected.includes(finding.check)),
      [],
    );
    const kernels = await stage.read(`/proc/${await mainPid()}/status`);
    assert.match(kernels, /^NoNewPrivs:\t1$/m);
    assert.match(kernels, /^Seccomp:\t2$/m);
    const tries =
      'touch /etc/x /usr/x /var/lib/x /tmp/mine; ls /root /dev; : > /run/postern/x && rm /run/postern/x && echo mine';
    const { stdout, stderr } = await machine.exec(['nsenter', '-t', await mainPid(), '-m', 'sh', '-c', tries], {
      mayFail: true,
    });
    for (const path of ['/etc/x', '/usr/x', '/var/lib/x']) assert.match(stderr, new RegExp(`'${path}': Read-only`));
    assert.match(stdout, /^\/root:\nmine$/m);
    assert.doesNotMatch(stdout, /^kmsg$|^mem$|^kvm$/m);
    assert.equal((await machine.exec(['test', '-e', '/tmp/mine'], { mayFail: true })).status, 1);
  });

  test('whoever breaks the watcher has its ids, and the daemon takes nothing from them', async () => {
    const { machine } = stage;
    const { pid } = (await stage.postern<{ watcher: { pid: number } }>('status')).watcher;
    const ids = [...(await stage.read(`/proc/${pid}/status`)).matchAll(/^([UG]id):\t(\d+)/gm)].map(([, , id]) => id);
    assert.equal(ids[0], (await machine.exec(['id', '-u', 'postern'])).stdout.trim());
    const as = ['setpriv', `--reuid=${ids[0]}`, `--regid=${ids[1]}`, '--clear-groups'];
    const asked = await machine.exec([...as, 'postern', 'open', 'ssh', '192.0.2.9'], { mayFail: true });
    assert.notEqual(asked.status, 0, asked.stdout);
    assert.deepEqual(
      (await stage.postern<{ doors: { grants: unknown[] }[] }>('status')).doors.flatMap(({ grants }) => grants),
      [],
    );
    // Nor does it see the daemon's state.
    const seen = await machine.exec([...as, 'ls', '/var/lib/postern', '/run/postern'], { mayFail: true });
    assert.equal(seen.stdout, '');
  });

  test('a knock opens the door, which closes in time; the journal has its fields', async () => {
    await stage.opensAndCloses();
    const { stdout } = await stage.machine.exec(['journalctl', '-o', 'json', '-u', 'posternd', 'POSTERN_TYPE=opened']);
    const entry = JSON.parse(stdout.trim().split('\n')[0] || '{}') as Record<string, string>;
    assert.deepEqual([entry.POSTERN_DOOR, entry.POSTERN_SOURCE], ['ssh', stage.client.address4]);
    assert.equal(entry.SYSLOG_IDENTIFIER, 'posternd');
  });

  test('`systemctl reload` puts a configuration in force, or fails and says why', async () => {
    const { machine } = stage;
    const pid = await mainPid();
    await stage.write(CONFIG, SSH);
    assert.equal((await machine.systemctl('reload', 'posternd')).status, 0);
    assert.deepEqual(await reaches(), [false, true]);
    await stage.write(CONFIG, DOORS.replace('tcp/80', 'tcp/0'));
    assert.equal((await machine.systemctl('reload', 'posternd')).status, 1);
    assert.match(await machine.journal('posternd'), /postern\.toml:\d+: .*tcp\/0/);
    assert.deepEqual(await reaches(), [false, true]);
    await stage.write(CONFIG, DOORS);
    await machine.systemctl('kill', '--kill-who=main', '--signal=HUP', 'posternd');
    await stage.eventually(async () => !(await stage.reaches(80)));
    assert.deepEqual([await mainPid(), await machine.property('posternd', 'NRestarts')], [pid, '0']);
  });

  test('stopped, it leaves the guard, and grants that end on time; started again, it goes on', async () => {
    const { machine } = stage;
    await stage.knock();
    await stage.eventually(() => stage.reaches(22));
    assert.equal((await machine.systemctl('stop', 'posternd')).status, 0);
    assert.equal(await machine.property('posternd', 'Result'), 'success');
    assert.deepEqual(await reaches(), [true, false]);
    await stage.eventually(async () => !(await stage.reaches(22)));
    assert.equal((await machine.systemctl('stop', 'postern-guard')).status, 0);
    assert.deepEqual(await reaches(), [false, false]);
    assert.equal((await machine.systemctl('start', 'postern-guard', 'posternd')).status, 0);
    await stage.opensAndCloses();
    // As the page says.
    await machine.systemctl('stop', 'posternd');
    await machine.exec(['nft', 'delete', 'table', 'inet', 'postern']);
    assert.deepEqual(await reaches(), [true, true]);
    await machine.systemctl('start', 'posternd');
    assert.deepEqual(await reaches(), [false, false]);
  });

  test('after a restart of the machine doors are closed before there is a network, but those that are to be open', async () => {
    const { machine } = stage;
    let opened = 0;
    let over = false;
    const stranger = (async () => {
      while (!over) if (await stage.reaches(22)) opened += 1;
    })();
    await machine.reboot(['systemctl', 'reboot']);
    over = true;
    await stranger;
    assert.equal(opened, 0);
    const rules = await stage.read('/run/rules-before-network');
    assert.match(rules, /elements = \{ 22 : goto tcp4_22 \}/);
    assert.doesNotMatch(rules, /80 : goto/);
    assert.deepEqual(await reaches(), [false, false]);
    await stage.opensAndCloses();
  });

  test('with its drop-in for both units, it guards with iptables', async () => {
    const { machine } = stage;
    await machine.systemctl('stop', 'posternd', 'postern-guard');
    await machine.exec(['nft', 'flush', 'ruleset']);
    await stage.write(CONFIG, `${DOORS}[firewall]\ndriver = "iptables"\n`);
    for (const unit of ['posternd', 'postern-guard'])
      await machine.dropIn(unit, 'RestrictAddressFamilies=AF_INET AF_INET6');
    await machine.systemctl('start', 'postern-guard');
    assert.deepEqual(await reaches(), [false, true], await machine.journal('postern-guard'));
    await machine.systemctl('start', 'posternd');
    assert.deepEqual(await reaches(), [false, false], await machine.journal('posternd'));
    await stage.opensAndCloses();
  });

  test('knockd.conf has its own unit', async () => {
    const { machine } = stage;
    await machine.systemctl('disable', '--now', 'posternd', 'postern-guard');
    await machine.exec(['nft', 'flush', 'ruleset']);
    await machine.exec([
      'nft',
      'add table inet own; add chain inet own input { type filter hook input priority 0; }; add set inet own in { type ipv4_addr; }; add rule inet own input tcp dport 22 ip saddr != @in reject with tcp reset',
    ]);
    await stage.write('/etc/default/knockd', 'KNOCKD_OPTS="-i eth0"\n');
    const door = [
      '[ssh]',
      'sequence = 7000,8000:udp,9000',
      'seq_timeout = 5',
      'tcpflags = syn',
      'start_command = nft add element inet own in { %IP% }',
      'cmd_timeout = 2',
      'stop_command = nft delete element inet own in { %IP% }',
    ];
    await stage.write('/etc/knockd.conf', `[options]\nUseSyslog\n${door.join('\n')}\n`);
    await machine.exec([
      'cp',
      '/usr/local/lib/node_modules/postern/systemd/postern-knockd.service',
      '/etc/systemd/system/',
    ]);
    assert.equal(await stage.reaches(22), false);
    assert.equal(
      (await machine.systemctl('enable', '--now', 'postern-knockd')).status,
      0,
      await machine.journal('postern-knockd'),
    );
    await stage.opensAndCloses();
    assert.equal((await machine.systemctl('reload', 'postern-knockd')).status, 0);
    await stage.opensAndCloses();
    // What closes its doors outlives it.
    await stage.knock();
    await stage.eventually(() => stage.reaches(22));
    assert.equal((await machine.systemctl('stop', 'postern-knockd')).status, 0);
    assert.equal(await machine.property('postern-knockd', 'Result'), 'success');
    assert.equal(await stage.reaches(22), true);
    await stage.eventually(async () => !(await stage.reaches(22)));
  });
});
