/**
 * `npm run demo`: the whole thing on real packets, in two network namespaces of its own, in about half a minute.
 *
 *     server 10.77.1.1 (sshd, firewall, our knockd) ──── 10.77.1.2 client (our knock, a scanner)
 *
 * Each step says what should happen, tries it and says what did; the first that turns out otherwise ends the demo with status 1.
 * Everything it makes is gone when it ends, also after Ctrl-C. Without root it enters a user namespace, where that is allowed.
 */

import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { createTopology, type Host, unavailable } from '../test/support/netns.ts';
import { findProgram, type Running } from '../test/support/running.ts';
import { startSender } from '../test/support/sender.ts';

const root = join(import.meta.dirname, '..');
const OPEN_SECONDS = 4;

async function main(): Promise<number> {
  if (process.getuid?.() !== 0 && process.platform === 'linux' && !process.env[INSIDE]) return enterUserNamespace();
  const reason = unavailable() || (firewallTool() === undefined && 'needs nft or iptables');
  if (reason) {
    process.stderr.write(`demo: ${reason}; run it as root on Linux with iproute2 and nftables installed\n`);
    return 1;
  }
  const folder = mkdtempSync(join(tmpdir(), 'postern-demo-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  await demonstrate(server, client, folder);
  return 0;
}

async function demonstrate(server: Host, client: Host, folder: string): Promise<void> {
  const firewall = firewallTool()!;
  const service = await startService(server, folder);
  await firewall.close(server);
  say(
    `A server with ${service.name} on port 22, behind an ${firewall.name} rule that drops every new connection to it.`,
  );
  await expect('a connection to port 22 gets no answer', async () => !(await connects(client, server)));

  const config = join(folder, 'knockd.conf');
  writeFileSync(config, knockdConf(firewall));
  say('');
  say('Our knockd starts with an ordinary knockd.conf:');
  for (const line of readFileSync(config, 'utf8').trimEnd().split('\n')) say(`    ${line}`);
  let knockd = startKnockd(server, config, folder);
  await knockd.waitForLine(/^listening on/);

  say('');
  say(`The client knocks: knock ${server.address4} 7000 8000 9000`);
  await client.exec([join(root, 'bin/knock'), server.address4, '7000', '8000', '9000']);
  await knockd.waitForLine(/OPEN SESAME/);
  await expect(`a connection to port 22 is answered: ${service.greeting}`, () =>
    eventually(() => connects(client, server)),
  );
  await knockd.waitForLine(/command timeout/, (OPEN_SECONDS + 5) * 1000);
  await expect(`${OPEN_SECONDS} seconds later the door has closed again`, () =>
    eventually(async () => !(await connects(client, server))),
  );

  say('');
  say('A scanner tries all 65,535 ports, each once.');
  const scanner = startSender(client);
  for (const [order, ports] of [
    ['in ascending order', ascending()],
    ['in random order', shuffled(ascending())],
  ] as const) {
    const before = openings(knockd);
    const text = ports.join(' ');
    await scanner.send(`src=${client.address4} dst=${server.address4}: gap=0 ${text}`);
    await client.exec([process.execPath, '-e', 'setTimeout(() => {}, 300)']);
    const closed = openings(knockd) === before && !(await connects(client, server));
    await expect(`${order}: nothing opened`, async () => closed);
  }

  say('');
  say('The client knocks again, and then both halves of the daemon are killed (SIGKILL) while the door is open.');
  await client.exec([join(root, 'bin/knock'), server.address4, '7000', '8000', '9000']);
  await expect('the door is open', () => eventually(() => connects(client, server)));
  knockd.kill('SIGKILL');
  await expect('it still closes in time', () =>
    eventually(async () => !(await connects(client, server)), (OPEN_SECONDS + 4) * 1000),
  );

  say('');
  say('The next start finds nothing left to close.');
  knockd = startKnockd(server, config, folder);
  await knockd.waitForLine(/^listening on/);
  const { status } = await knockd.stop();
  await expect('and SIGTERM ends it with status 15, as knockd', async () => status === 15);
  say('');
  say(styleText('green', 'Everything was as it says.'));
}

/** How long a connection to a dropped port is tried. */
const PATIENCE = 700;

async function connects(client: Host, server: Host): Promise<boolean> {
  const script = `
    const socket = require('net').connect(22, ${JSON.stringify(server.address4)});
    socket.on('data', (data) => { process.stdout.write(data); process.exit(0); });
    socket.on('error', () => process.exit(1));
    setTimeout(() => process.exit(1), ${PATIENCE});`;
  return (await client.exec([process.execPath, '-e', script], { mayFail: true })).status === 0;
}

async function eventually(test: () => Promise<boolean>, patience = 3000): Promise<boolean> {
  const deadline = performance.now() + patience;
  while (!(await test())) if (performance.now() > deadline) return false;
  return true;
}

async function expect(what: string, test: () => Promise<boolean>): Promise<void> {
  if (await test()) return say(`  ${styleText('green', '✓')} ${what}`);
  say(`  ${styleText('red', '✗')} ${what}`);
  throw new Unexpected(`it is not as it says: ${what}`);
}

class Unexpected extends Error {}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function openings(knockd: Running): number {
  return knockd.lines.filter((line) => line.includes('OPEN SESAME')).length;
}

function startKnockd(server: Host, config: string, folder: string): Running {
  return server.spawn([join(root, 'bin/knockd'), '-v', '-i', 'eth0', '-c', config, '--state', join(folder, 'state')]);
}

interface Firewall {
  readonly name: string;
  readonly close: (server: Host) => Promise<unknown>;
  readonly start: string;
  readonly stop: string;
}

const FIREWALLS: Readonly<Record<'nft' | 'iptables', Firewall>> = {
  nft: {
    name: 'nftables',
    close: (server) =>
      server.exec(['nft', '-f', '-'], {
        input: `table inet filter {
          set knocked { type ipv4_addr; }
          chain input {
            type filter hook input priority 0; policy accept;
            tcp dport 22 ct state new ip saddr != @knocked drop
          }
        }`,
      }),
    start: 'nft add element inet filter knocked { %IP% }',
    stop: 'nft delete element inet filter knocked { %IP% }',
  },
  iptables: {
    name: 'iptables',
    close: (server) => server.exec('iptables -A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j DROP'.split(' ')),
    start: 'iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
    stop: 'iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
  },
};

function firewallTool(): Firewall | undefined {
  if (findProgram('nft')) return FIREWALLS.nft;
  return findProgram('iptables') ? FIREWALLS.iptables : undefined;
}

function knockdConf(firewall: Firewall): string {
  return `[ssh]
sequence      = 7000,8000,9000
seq_timeout   = 5
tcpflags      = syn
start_command = ${firewall.start}
cmd_timeout   = ${OPEN_SECONDS}
stop_command  = ${firewall.stop}
`;
}

interface Service {
  readonly name: string;
  readonly greeting: string;
}

/** OpenSSH's sshd with a key of its own if it is installed and may run here, else a banner of ours. */
async function startService(server: Host, folder: string): Promise<Service> {
  const sshd = findProgram('sshd');
  if (sshd && findProgram('ssh-keygen') && process.env[INSIDE] === undefined) {
    const key = join(folder, 'host_key');
    await server.exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    chmodSync(folder, 0o711);
    server.spawn([sshd, '-D', '-e', '-f', '/dev/null', '-h', key, '-p', '22', '-o', 'PidFile=none']);
    if (await eventually(() => greets(server))) return { name: 'OpenSSH', greeting: 'SSH-2.0-OpenSSH…' };
  }
  const script = `require('net').createServer((socket) => socket.end('SSH-2.0-demo\\r\\n')).listen(22, '0.0.0.0')`;
  server.spawn([process.execPath, '-e', script]);
  if (!(await eventually(() => greets(server)))) throw new Unexpected('no service could be started on port 22');
  return { name: 'a TCP service', greeting: 'SSH-2.0-demo' };
}

function greets(server: Host): Promise<boolean> {
  return connects(server, server);
}

function ascending(): number[] {
  return Array.from({ length: 65_535 }, (_, index) => index + 1);
}

function shuffled(ports: number[]): number[] {
  for (let last = ports.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [ports[last], ports[other]] = [ports[other]!, ports[last]!];
  }
  return ports;
}

const INSIDE = 'POSTERN_DEMO_INSIDE';

/** Runs the demo again as the root of a user namespace; `ip netns` gets a /run of its own there. */
async function enterUserNamespace(): Promise<number> {
  const script = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"';
  const argv = [
    '--user',
    '--map-root-user',
    '--net',
    '--mount',
    '--',
    'sh',
    '-c',
    script,
    process.execPath,
    import.meta.filename,
  ];
  const child = spawn('unshare', argv, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
  process.on('SIGINT', () => {});
  const status = await new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(null));
    child.on('exit', (code) => resolve(code));
  });
  if (status === null) process.stderr.write('demo: needs root, or user namespaces (unshare) that users may make\n');
  return status ?? 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Unexpected ? error.message : (error as Error).stack}\n`);
  process.exitCode = 1;
}
