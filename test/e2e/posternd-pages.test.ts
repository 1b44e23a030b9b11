/**
 *     server eth0 10.77.1.1 ──────── 10.77.1.2 eth0 client
 *
 * The task pages of doc/, followed to the letter, on a server whose /etc, /run and /var/lib are copies of its own. `server.example` is the
 * server, 203.0.113.7 the client; an `ssh` of a page is a connection here, and the pages of ufw and firewalld are for posternd-hosts.test.ts.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import type { Ended, Running } from '../support/running.ts';
import { readTaskPage, type TaskPage } from '../support/task-pages.ts';

const skip = unavailable('nft', 'ss', 'nsenter');
const BIN = join(import.meta.dirname, '../../bin');
const CONFIG = '/etc/postern/postern.toml';
const SETTLED = `[public]\nports = []\n`;

const OWN_FILES = `mount -t tmpfs none /mnt; mkdir /mnt/etc /mnt/lib /mnt/run
cp -a /etc/. /mnt/etc/; mkdir -p /mnt/etc/postern
for name in etc run; do mount --bind /mnt/$name /$name; done; mount --bind /mnt/lib /var/lib
echo here; exec sleep 600`;

describe('the task pages', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let client: Host;
  let files: Running;
  let peer: Peer;
  let daemon: Running | undefined;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    const echo = startPeer(server);
    for (const port of [22, 8080]) await echo.listen('tcp', port);
    peer = startPeer(client);
    files = server.spawn(['unshare', '-m', 'sh', '-ec', OWN_FILES]);
    await files.waitForLine(/^here$/);
  });
  after(() => topology?.close());

  const env = { PATH: `${BIN}:${process.env.PATH}:/usr/sbin:/sbin` };
  const onServer = (command: string): readonly string[] => ['nsenter', '-m', '-t', `${files.pid}`, 'sh', '-c', command];
  const run = (host: Host, command: string): Promise<Ended> => {
    const here = command.replaceAll('server.example', server.address4).replaceAll('203.0.113.7', client.address4);
    return host.exec(host === server ? onServer(here) : ['sh', '-c', here], { env });
  };
  const reaches = async (port: number): Promise<boolean> =>
    (await peer.connect({ destination: server.address4, port, wait: 1500 })) === 'connected';
  const write = (text: string): Promise<Ended> =>
    server.exec(onServer(`cat > ${CONFIG}`), { input: text.replaceAll('203.0.113.7', client.address4) });

  /** Does what the page says; resolves to what the commands wrote. */
  const follow = async (
    page: TaskPage,
    connected: () => Promise<void> = async () => {},
  ): Promise<readonly string[]> => {
    const written: string[] = [];
    for (const step of readTaskPage(page)) {
      if (step.kind === 'config') {
        await write(step.text);
      } else if (step.command === 'posternd') {
        daemon = server.spawn(onServer('exec posternd -v'), { env });
        await daemon.waitForLine(/^ready$/, 30_000);
      } else if (step.command.startsWith('ssh ')) {
        await daemon!.waitForLine(/: opened for /);
        await connected();
      } else {
        const { stdout } = await run(topology.hosts[step.host], step.command);
        written.push(stdout);
      }
    }
    return written;
  };

  test('without a postern.toml, check and doctor name the file that they look at instead', async () => {
    const asked = async (command: string): Promise<Ended> =>
      server.exec(onServer(`rm -f ${CONFIG} /etc/knockd.conf; ${command}`), { env, mayFail: true });
    const none = await asked('postern check');
    assert.deepEqual([none.status, none.stdout], [1, `Checking ${CONFIG}\n`]);
    assert.match(none.stderr, /^\/etc\/postern\/postern\.toml: No such file/);
    assert.match(
      (await asked('postern doctor')).stdout,
      /postern\.toml: No such file[^\n]*\n +hint: Write a first one: postern init/,
    );
    const knockd = 'printf "[x]\\nsequence = 7000,9000,8000\\ncommand = true %%IP%%\\n" > /etc/knockd.conf; ';
    const other = await asked(`${knockd}postern check`);
    assert.match(other.stdout, /^Checking \/etc\/knockd\.conf \(there is no \/etc\/postern\/postern\.toml\)\n/);
    assert.equal(other.status, 0, other.stderr);
    const { stdout } = await asked(`${knockd}postern doctor`);
    assert.match(stdout, /there is \/etc\/knockd\.conf, which is for knockd\n +hint: .*postern import/);
  });

  test('first-door.md', async () => {
    assert.equal(await reaches(22), true);
    const written = await follow('first-door', async () => assert.equal(await reaches(22), true));
    assert.match(written.join(''), /10\.77\.1\.2[\s\S]*opened/);
    await daemon!.waitForLine(/^ssh: (opened|renewed) for 10\.77\.1\.2 \(hand/);
  });

  test('revoke.md', async () => {
    assert.equal(await reaches(22), true);
    await follow('revoke');
    assert.equal(await reaches(22), false);
    await run(client, 'knock server.example 7000 8000:udp 9000');
    await daemon!.waitForLine(/^ssh: not opened for 10\.77\.1\.2 \(knock, source\)$/);
    await run(server, 'postern open ssh 203.0.113.7');
    assert.equal(await reaches(22), true);
    const steps = readTaskPage('revoke').filter((step) => step.kind === 'command');
    await run(server, steps.at(-1)!.command);
    assert.equal(await reaches(22), false, 'closed behind the daemon, by hand');
  });

  test('reload.md', async () => {
    const first = readTaskPage('first-door').find((step) => step.kind === 'config')!;
    await write(first.text.replace('30s', '45s') + SETTLED);
    await follow('reload');
    assert.match((await run(server, 'postern show ssh --json')).stdout, /45000/);
  });

  test('container-port.md', async () => {
    await daemon!.stop();
    await server.exec(['nft', 'flush', 'ruleset']);
    assert.equal(await reaches(8080), true);
    await follow('container-port');
    await daemon!.waitForLine(/^web: opened for 10\.77\.1\.2/);
    assert.equal(await reaches(8080), true);
    await run(server, 'postern close web');
    assert.equal(await reaches(8080), false);
  });
});
