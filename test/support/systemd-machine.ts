/**
 * A machine (machine.ts) that systemd runs: its journal, its temporary files and users, and nothing else of what this computer has installed.
 *
 * - It is masked, not left out: a unit that somebody's package has put into a start is a link to nowhere in the machine's /etc.
 * - `network.service` configures the network as an ordinary machine does: not before network-pre.target, and done before network.target.
 */

import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Machine, type MachineFile, machineUnavailable, PACKAGE, startMachine } from './machine.ts';
import { type MachineStage, machineStage } from './machine-stage.ts';
import type { Host } from './netns.ts';
import type { Ended } from './running.ts';

const SYSTEMD = '/lib/systemd/systemd';
const UNITS = '/usr/lib/systemd/system';
const GENERATORS = '/usr/lib/systemd/system-generators';
const KEPT = /^(systemd-(journald(-dev-log)?|sysusers|tmpfiles-setup)\.(service|socket)|.*\.(target|slice))$/;
/** Started by others than a target. */
const MORE_MASKED = [
  'systemd-udevd.service',
  'dbus.service',
  'dbus.socket',
  'getty.target',
  'systemd-remount-fs.service',
];

/** Its configuration of the network says what the firewall was when the first packet could have come. */
const NETWORK = `[Unit]
DefaultDependencies=no
Wants=network-pre.target network.target
After=network-pre.target
Before=network.target network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'nft list ruleset > /run/rules-before-network; ip link set eth0 up'
[Install]
WantedBy=multi-user.target
`;

export interface SystemdMachine extends Machine {
  /** Runs `systemctl` with these words. */
  systemctl(...words: readonly string[]): Promise<Ended>;
  /** Settings of a unit under `[Service]`, as `systemctl edit` leaves them. */
  dropIn(unit: string, lines: string): Promise<void>;
  /** A property of a unit. */
  property(unit: string, name: string): Promise<string>;
  /** What the journal has of a unit, and what systemd says of it. */
  journal(unit: string): Promise<string>;
}

/** Why none can be started here, for a test's `skip`; false when it can. */
export function systemdUnavailable(...programs: readonly string[]): string | false {
  if (!existsSync(SYSTEMD)) return 'needs systemd';
  return machineUnavailable('systemctl', ...programs);
}

/** A machine and its client (machine-stage.ts). */
export async function systemdStage(): Promise<MachineStage<SystemdMachine>> {
  return await machineStage(startSystemd, ({ journal }) => journal('postern*'));
}

/** Starts it. Postern is installed, but no unit of it. */
async function startSystemd(host: Host): Promise<SystemdMachine> {
  const machine = await startMachine(host, {
    init: [SYSTEMD, '--system', '--show-status=no', '--unit=multi-user.target'],
    isUp: ['systemctl', 'is-active', '--quiet', 'multi-user.target'],
    files: { ...masks(), ...base() },
  });
  const systemctl = (...words: readonly string[]): Promise<Ended> =>
    machine.exec(['systemctl', '--no-pager', ...words], { mayFail: true });
  return {
    ...machine,
    systemctl,
    async dropIn(unit, lines) {
      const file = `/etc/systemd/system/${unit}.service.d/override.conf`;
      const script = 'mkdir -p "$(dirname "$0")"; cat > "$0"';
      await machine.exec(['sh', '-ec', script, file], { input: `[Service]\n${lines}\n` });
      await systemctl('daemon-reload');
    },
    property: async (unit, name) => (await systemctl('show', '--value', `--property=${name}`, unit)).stdout.trim(),
    journal: async (unit) =>
      (await machine.exec(['journalctl', '--no-pager', '-o', 'short-monotonic', '-u', unit])).stdout,
  };
}

function masks(): Record<string, MachineFile> {
  const wanted = globSync('*.target.wants/*', { cwd: UNITS }).map((path) => basename(path));
  const units = [...wanted.filter((name) => !KEPT.test(name)), ...MORE_MASKED].map(
    (name) => `/etc/systemd/system/${name}`,
  );
  const generators = existsSync(GENERATORS) ? readdirSync(GENERATORS) : [];
  const paths = [...units, ...generators.map((name) => join('/etc/systemd/system-generators', name))];
  return Object.fromEntries(paths.map((path) => [path, { link: '/dev/null' }]));
}

function base(): Record<string, MachineFile> {
  return {
    '/etc/machine-id': '',
    '/etc/hostname': 'machine\n',
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
    '/etc/group': 'root:x:0:\nnogroup:x:65534:\n',
    '/etc/systemd/system/network.service': NETWORK,
    '/etc/systemd/system/multi-user.target.wants/network.service': { link: '../network.service' },
  };
}

/** Puts the files where the table of doc/service.md says, and runs its commands. */
export async function installUnits(machine: SystemdMachine): Promise<void> {
  const page = readFileSync(join(import.meta.dirname, '../../doc/service.md'), 'utf8');
  const rows = [...page.matchAll(/^\| (?:systemd)? *\| (.*`(?:systemd|packaging)\/.*) \| (.*) \|$/gm)];
  const copies = rows.flatMap(([, files = '', folders = '']) => {
    const targets = quoted(folders);
    return quoted(files).map((file, index) => `cp ${file} ${targets[index] ?? targets[0]}`);
  });
  const [, commands = ''] = /On systemd:\n\n```sh\n([\s\S]*?)```/.exec(page) ?? [];
  assert.ok(copies.length === 4 && commands.includes('systemctl enable'), 'doc/service.md reads otherwise');
  const script = `cd ${PACKAGE}\nmkdir -p /usr/lib/sysusers.d\n${copies.join('\n')}\n${commands}`;
  const { status, stderr } = await machine.exec(['sh', '-exc', script], { mayFail: true });
  assert.equal(status, 0, `${stderr}\n${status === 0 ? '' : await machine.journal('postern*')}`);
}

function quoted(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}
