/**
 *     client 10.77.1.2 ── 10.77.1.1 server
 *
 * What a daemon sends to the systemd journal, to syslog and to its file, each taken at the place where it belongs.
 */

import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createTopology, unavailable } from '../support/netns.ts';
import { KNOCK, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { startSender } from '../support/sender.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const skip = unavailable('nft', 'perl', 'unshare');

/** Says `ready`, then each datagram, its newlines as "|". Node has no datagram sockets of the local kind. */
const LISTENER =
  '$|=1; socket(S,PF_UNIX,SOCK_DGRAM,0) or die; bind(S,sockaddr_un($ARGV[0])) or die "bind: $!"; print "ready\\n"; while (defined recv(S,$m,65536,0)) { $m =~ s/\\n/|/g; print "$m\\n" }';

describe('the log of posternd', { skip }, () => {
  test('goes to the journal with its fields and to a file, which is begun anew when it is moved; not to syslog besides', async () => {
    using folder = temporaryFolder();
    await using topology = await createTopology({ links: [['server', 'client']] });
    const { server, client } = topology.hosts;
    const listen = async (name: string) => {
      const listener = server.spawn(['perl', '-MSocket', '-e', LISTENER, join(folder.path, name)]);
      await listener.waitForLine(/^ready$/);
      return listener;
    };
    const [journal, syslog] = [await listen('journal'), await listen('syslog')];
    // A /run and a /dev/log of its own, with the listeners in them.
    const within = `exec unshare -m sh -ec 'mount -t tmpfs none /run; mkdir -p /run/systemd/journal; touch /run/systemd/journal/socket
mount --bind ${folder.path}/journal /run/systemd/journal/socket
mkdir /run/dev; mount -t tmpfs none /run/dev; for name in null zero full random urandom tty; do touch /run/dev/$name; mount --bind /dev/$name /run/dev/$name; done
ln -s /proc/self/fd /run/dev/fd; touch /run/dev/log; mount --bind ${folder.path}/syslog /run/dev/log; mount --rbind /run/dev /dev
exec "$0" "$@"' "$0" "$@"`;
    await using daemon = await startPosternd(server, {
      doors: sshDoor('30s'),
      top: 'trap = ["tcp/22"]',
      settings: '[state]\ndir = "state"\n[log]\njournald = true\nfile = "postern.log"\n',
      within,
    });
    // A warning about the file is said once at each place, although the daemon begins itself anew to have no more rights than it needs.
    await journal.waitForLine(/^MESSAGE=warning: postern\.toml:1: The trap is a port .*\|PRIORITY=4\|/);
    for (const lines of [daemon.running.lines, journal.lines, daemon.read('postern.log').split('\n')]) {
      assert.equal(lines.filter((line) => line.includes('The trap is a port')).length, 1, lines.join('\n'));
    }
    const sender = startSender(client);
    await sender.send(`src=${client.address4} dst=${server.address4}: ${KNOCK}`);
    const [entry] = await journal.waitForLine(/^MESSAGE=ssh: opened.*$/);
    const id = /POSTERN_ID=(\d+)\|$/.exec(entry)?.[1];
    const [opened] = (await daemon.history()).filter(({ type }) => type === 'opened');
    assert.equal(id, String(opened?.id));
    assert.equal(
      entry,
      `MESSAGE=ssh: opened for ${client.address4} (knock)|PRIORITY=6|SYSLOG_FACILITY=3|SYSLOG_IDENTIFIER=posternd|POSTERN_TYPE=opened|POSTERN_DOOR=ssh|POSTERN_SOURCE=${client.address4}|POSTERN_VIA=knock|POSTERN_ID=${id}|`,
    );
    assert.match(daemon.read('postern.log'), /^\d{4}-\S+Z ssh: opened for 10\.77\.1\.2 \(knock\)$/m);

    renameSync(join(daemon.folder, 'postern.log'), join(daemon.folder, 'postern.log.1'));
    await daemon.ask((control) => control.close('ssh'));
    await journal.waitForLine(/^MESSAGE=ssh: closed for/);
    assert.match(daemon.read('postern.log'), /^\S+Z ssh: closed for 10\.77\.1\.2 \(knock, root, by hand\)$/m);
    assert.doesNotMatch(daemon.read('postern.log.1'), /closed/);

    // The journal goes away: syslog has what comes then.
    assert.deepEqual(syslog.lines, ['ready']);
    await journal.stop('SIGKILL');
    await daemon.ask((control) => control.open('ssh', client.address4));
    await syslog.waitForLine(/^<29>.* posternd: ssh: opened for 10\.77\.1\.2 \(hand, root\)$/);
  });
});
