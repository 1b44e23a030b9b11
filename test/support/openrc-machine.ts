/**
 * A machine (machine.ts) that OpenRC runs, as on Alpine: openrc-init, two services that stand for the mounts and the network of a distribution, and
 * Postern installed as doc/service.md says.
 *
 * Debian's package `openrc` would take this computer's own init away, so it is downloaded and unpacked into the machine only.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Machine, machineUnavailable, PACKAGE, startMachine } from './machine.ts';
import { type MachineStage, machineStage } from './machine-stage.ts';
import type { Host } from './netns.ts';
import { Running } from './running.ts';
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts';

const PACKAGES = ['openrc', 'librc1', 'libeinfo1'];
/** Its files below these are of /usr: where both are one, the older paths are links. */
const MERGED = ['bin', 'sbin', 'lib'] as const;

/** Its start of the network says what the firewall was when the first packet could have come. */
const NETWORK = `#!/sbin/openrc-run
depend() {
	need localmount
	provide net
}
start() {
	ebegin "Configuring the network"
	nft list ruleset > /run/rules-before-network
	ip link set eth0 up
	eend $?
}
`;
const NOTHING = '#!/sbin/openrc-run\nstart() {\n\treturn 0\n}\n';

/** Why none can be started here, for a test's `skip`; false when it can. */
export function openrcUnavailable(...programs: readonly string[]): string | false {
  return machineUnavailable('apt-get', 'dpkg', ...programs);
}

/** OpenRC as files of a root with a merged /usr; undefined when it cannot be had. */
export async function unpackOpenrc(): Promise<TemporaryFolder | undefined> {
  const folder = temporaryFolder();
  const downloads = join(folder.path, 'downloads');
  mkdirSync(downloads);
  const { status } = spawnSync('apt-get', ['-q', 'download', ...PACKAGES], { cwd: downloads, stdio: 'ignore' });
  if (status !== 0) {
    folder[Symbol.dispose]();
    return undefined;
  }
  for (const file of globSync('*.deb', { cwd: downloads }))
    await new Running(['dpkg', '-x', join(downloads, file), folder.path]).end();
  rmSync(downloads, { recursive: true });
  for (const name of MERGED) {
    cpSync(join(folder.path, name), join(folder.path, 'usr', name), { recursive: true, verbatimSymlinks: true });
    rmSync(join(folder.path, name), { recursive: true });
  }
  return folder;
}

/** A machine and its client (machine-stage.ts); `unpacked` is what `unpackOpenrc` made. */
export async function openrcStage(unpacked: string): Promise<MachineStage<Machine>> {
  const tell = async (machine: Machine): Promise<string> =>
    (await machine.exec(['rc-status', '--all'], { mayFail: true })).stdout;
  return await machineStage((host) => startOpenrc(host, unpacked), tell);
}

/** Starts it. Postern is installed, but is in no runlevel. */
async function startOpenrc(host: Host, unpacked: string): Promise<Machine> {
  return await startMachine(host, {
    init: ['/sbin/openrc-init'],
    isUp: ['sh', '-c', 'test "$(rc-status --runlevel)" = default && rc-service network status'],
    unpacked,
    files: {
      '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
      '/etc/group': 'root:x:0:\ntty:x:5:\nuucp:x:10:\nnogroup:x:65534:\n',
      // Debian's looks there for names of facilities.
      '/etc/insserv.conf': '',
      '/etc/init.d/localmount': { program: NOTHING },
      '/etc/init.d/network': { program: NETWORK },
      '/etc/runlevels/sysinit/.keep': '',
      '/etc/runlevels/shutdown/.keep': '',
      '/etc/runlevels/boot/localmount': { link: '/etc/init.d/localmount' },
      '/etc/runlevels/default/network': { link: '/etc/init.d/network' },
    },
  });
}

/** Puts the scripts where the table of doc/service.md says, and Node where a distribution does not have its own. */
export async function installScripts(machine: Machine): Promise<void> {
  const scripts = `cd ${PACKAGE}/packaging/openrc
    install -m 755 posternd.initd /etc/init.d/posternd
    install -m 755 postern-guard.initd /etc/init.d/postern-guard
    install -D -m 644 posternd.confd /etc/conf.d/posternd
    [ ! -e /usr/bin/node ] || mv /usr/bin/node /usr/local/bin/`;
  await machine.exec(['sh', '-exc', scripts]);
}
