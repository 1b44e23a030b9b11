/** The `knock` command, run in this process with a recorded network; the words of knock 0.8 come from runs of Debian's. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { type KnockWorld, main } from '../../src/cli/knock.ts';
import { readVersion } from '../../src/cli/version.ts';
import { type HostAddress, ResolveError, resolveHost } from '../../src/client/resolve.ts';
import { parseServices } from '../../src/client/services.ts';

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** `tcp 192.0.2.1:7000`, in order. */
  readonly packets: readonly string[];
  readonly pauses: readonly number[];
  readonly lookups: readonly string[];
}

const V4: HostAddress = { address: '192.0.2.1', family: 4 };
const V6: HostAddress = { address: '2001:db8::1', family: 6 };

/** Runs `knock` for a host with an IPv6 and an IPv4 address; packet number `failAt` can't be sent. */
async function run(argv: readonly string[], failAt = 0, world: Partial<KnockWorld> = {}): Promise<Run> {
  let stdout = '';
  let stderr = '';
  let time = 0;
  const packets: string[] = [];
  const pauses: number[] = [];
  const lookups: string[] = [];
  const status = await main(argv, {
    environment: {},
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    network: {
      async hit(step, route) {
        packets.push(
          `${step.protocol} ${route.from === undefined ? '' : `${route.from} > `}${route.to.address}:${step.port}`,
        );
        if (packets.length === failAt) throw Object.assign(new Error('send EPERM'), { code: 'EPERM', errno: -1 });
      },
    },
    clock: {
      now: () => time,
      async pause(delay) {
        pauses.push(delay);
        time += delay;
      },
    },
    async resolve(host, family) {
      lookups.push(host);
      if (host === 'unknown') throw new ResolveError('Name or service not known');
      if (family === 4) return [V4];
      return family === 6 ? [V6] : [V6, V4];
    },
    services: () => parseServices('http 80/tcp\ndomain 53/udp\n'),
    interfaces: () => ({
      eth0: [{ address: '192.0.2.9', family: 'IPv4', netmask: '', mac: '', internal: false, cidr: null }],
    }),
    ...world,
  });
  return { status, stdout, stderr, packets, pauses, lookups };
}

test('knock hits the ports in order and says nothing', async () => {
  const { status, stdout, stderr, packets, lookups } = await run(['-4', 'h', '7000', '8000:udp', 'http', 'domain:udp']);
  assert.deepEqual([status, stdout, stderr], [0, '', '']);
  assert.deepEqual(packets, ['tcp 192.0.2.1:7000', 'udp 192.0.2.1:8000', 'tcp 192.0.2.1:80', 'udp 192.0.2.1:53']);
  assert.deepEqual(lookups, ['h']);
});

test('knock -v tells each hit with the address and the port as it was written', async () => {
  const { stdout } = await run(['-v', 'h', 'http', '07:udp', '-4']);
  assert.equal(stdout, 'hitting tcp 192.0.2.1:http\nhitting udp 192.0.2.1:07\n');
});

test('knock takes the first address of either family unless told otherwise; the last of -4 and -6 counts', async () => {
  assert.deepEqual((await run(['h', '1'])).packets, ['tcp 2001:db8::1:1']);
  assert.deepEqual((await run(['-6', '-4', 'h', '1'])).packets, ['tcp 192.0.2.1:1']);
  assert.deepEqual((await run(['-46', 'h', '1'])).packets, ['tcp 2001:db8::1:1']);
});

test('knock -u makes every hit UDP, wherever it stands', async () => {
  assert.deepEqual((await run(['-4', 'h', '1:tcp', '2:foo', '-u'])).packets, ['udp 192.0.2.1:1', 'udp 192.0.2.1:2']);
});

test('knock treats an unknown protocol as TCP, as knock 0.8 does, but says so', async () => {
  const { status, stderr, packets } = await run(['-4', 'h', '7000:foo']);
  assert.deepEqual([status, packets], [0, ['tcp 192.0.2.1:7000']]);
  assert.equal(stderr, 'warning: "7000:foo": unknown protocol "foo", hitting tcp\n');
});

test('knock waits 20 ms after every hit unless -d says otherwise', async () => {
  assert.deepEqual((await run(['h', '1', '2'])).pauses, [20, 20]);
  assert.deepEqual((await run(['-d', '200', 'h', '1', '2'])).pauses, [200, 200]);
  assert.deepEqual((await run(['-d0', 'h', '1', '2'])).pauses, []);
});

test("knock reads the delay as C's atoi, with a warning", async () => {
  const { status, stderr, pauses } = await run(['-d', 'abc', 'h', '1']);
  assert.deepEqual([status, stderr, pauses], [0, 'warning: delay "abc" is not a whole number, taking 0\n', []]);
  assert.deepEqual((await run(['-d', '5x', 'h', '1'])).pauses, [5]);
  assert.deepEqual((await run(['-d', '99999999999', 'h', '1'])).pauses, [0x7fffffff]);
});

test('knock --repeat knocks the whole sequence again', async () => {
  const { packets } = await run(['-4', '--repeat', '3', 'h', '1', '2']);
  assert.deepEqual(
    packets.map((packet) => packet.at(-1)),
    ['1', '2', '1', '2', '1', '2'],
  );
  for (const repeat of ['0', '-1', 'x', '1001', '']) {
    const { status, stderr, packets } = await run(['--repeat', repeat, 'h', '1']);
    assert.deepEqual([status, packets], [1, []]);
    assert.equal(stderr, `Cannot repeat "${repeat}" times: must be a whole number from 1 to 1000\n`);
  }
});

test('knock --source and --interface choose the local address, and so the family', async () => {
  assert.deepEqual((await run(['--source', '192.0.2.7', 'h', '1'])).packets, ['tcp 192.0.2.7 > 192.0.2.1:1']);
  assert.deepEqual((await run(['--interface', 'eth0', 'h', '1'])).packets, ['tcp 192.0.2.9 > 192.0.2.1:1']);
  const bad: readonly (readonly [readonly string[], string])[] = [
    [['--source', 'x', 'h', '1'], 'Cannot knock from "x": not an IP address\n'],
    [['--source', '::1', '-4', 'h', '1'], 'Cannot knock from "::1": not an IPv4 address\n'],
    [['--source', '::1', '--interface', 'eth0', 'h', '1'], 'Cannot use both --source and --interface\n'],
    [['--interface', 'eth7', 'h', '1'], 'Interface "eth7" does not exist, is down, or has no address\n'],
    [['--interface', 'eth0', '-6', 'h', '1'], 'Interface "eth0" has no IPv6 address\n'],
  ];
  for (const [argv, message] of bad) {
    const { status, stderr, packets } = await run(argv);
    assert.deepEqual([status, stderr, packets], [1, message, []]);
  }
});

test('knock sends nothing when any port is bad, and names every bad one', async () => {
  const { status, stderr, packets, lookups } = await run(['h', '7000', '70000', 'abc', '0:udp', '7000-7002', '']);
  assert.deepEqual([status, packets, lookups], [1, [], []]);
  assert.equal(
    stderr,
    `\
Cannot knock on port "70000": port must be 1-65535
Failed to resolve hostname 'h' on port abc
getaddrinfo: Servname not supported for ai_socktype
Cannot knock on port "0": port must be 1-65535
Failed to resolve hostname 'h' on port 7000-7002
getaddrinfo: Servname not supported for ai_socktype
Cannot knock on port "": port must be 1-65535
`,
  );
});

test('knock says that a host is unknown in knock 0.8 words, with the first port', async () => {
  const { status, stderr } = await run(['unknown', '7000:udp', '8000']);
  assert.deepEqual(
    [status, stderr],
    [1, "Failed to resolve hostname 'unknown' on port 7000\ngetaddrinfo: Name or service not known\n"],
  );
});

test('knock stops at a packet that can not be sent, names it and exits 1', async () => {
  const { status, stderr, packets } = await run(['-4', 'h', '1', '2:udp', '3'], 2);
  assert.deepEqual([status, packets.length], [1, 2]);
  assert.match(stderr, /^Cannot hit udp 192\.0\.2\.1:2: .*\nhint: a firewall on this machine refuses the packet\n$/);
});

test('knock --json prints one object, and the verbose lines go to standard error', async () => {
  const { status, stdout, stderr } = await run(['-v', '-4', '--json', '--repeat', '2', 'h', 'http', '9:udp']);
  assert.equal(status, 0);
  assert.equal(stderr.split('\n').length, 5);
  assert.equal(stdout.split('\n').length, 2);
  assert.deepEqual(JSON.parse(stdout), {
    host: 'h',
    address: '192.0.2.1',
    family: 4,
    source: null,
    ok: true,
    planned: 4,
    sent: 4,
    repeat: 2,
    delay: 20,
    elapsed: 80,
    hits: [
      { round: 1, protocol: 'tcp', port: 80, ok: true },
      { round: 1, protocol: 'udp', port: 9, ok: true },
      { round: 2, protocol: 'tcp', port: 80, ok: true },
      { round: 2, protocol: 'udp', port: 9, ok: true },
    ],
  });
});

test('knock --json tells of failures too', async () => {
  const failed = JSON.parse((await run(['--json', 'h', '1', '2', '3'], 2)).stdout);
  assert.deepEqual([failed.ok, failed.planned, failed.sent], [false, 3, 1]);
  assert.deepEqual(failed.hits.at(-1), {
    round: 1,
    protocol: 'tcp',
    port: 2,
    ok: false,
    error: 'operation not permitted',
  });
  assert.deepEqual(JSON.parse((await run(['--json', 'h', '0'])).stdout), {
    host: 'h',
    ok: false,
    error: 'Cannot knock on port "0": port must be 1-65535',
    hits: [],
  });
});

test('knock --json says what was wrong with the command line, too', async () => {
  const { status, stdout, stderr } = await run(['--json', '-d', '-1', 'h', '1']);
  assert.deepEqual([status, stderr], [1, 'error: delay cannot be negative\n']);
  assert.deepEqual(JSON.parse(stdout), { host: 'h', ok: false, error: 'error: delay cannot be negative', hits: [] });
});

test('knock -V tells both versions and exits 0', async () => {
  const { status, stdout } = await run(['-V', '-x']);
  assert.equal(status, 0);
  assert.equal(stdout, `knock 0.8 (postern ${readVersion()})\nA drop-in for knock 0.8 by Judd Vinet\n`);
});

/** knock 0.8's usage text. */
const USAGE = `\
usage: knock [options] <host> <port[:proto]> [port[:proto]] ...
options:
  -u, --udp            make all ports hits use UDP (default is TCP)
  -d, --delay <t>      wait <t> milliseconds between port hits
  -4, --ipv4           Force usage of IPv4
  -6, --ipv6           Force usage of IPv6
  -v, --verbose        be verbose
  -V, --version        display version
  -h, --help           this help

example:  knock myserver.example.com 123:tcp 456:udp 789:tcp

`;

test("knock -h has knock 0.8's text, line for line and in order, and exits 1", async () => {
  const { status, stdout, stderr } = await run(['-h']);
  assert.deepEqual([status, stderr], [1, '']);
  const ours = stdout.split('\n');
  let at = -1;
  for (const line of USAGE.split('\n')) {
    at = ours.indexOf(line, at + 1);
    assert.ok(at >= 0, `missing: ${line}`);
  }
});

test('knock obeys POSIXLY_CORRECT, as getopt does', async () => {
  const { status, stderr } = await run(['h', '7', '-u'], 0, { environment: { POSIXLY_CORRECT: '' } });
  assert.deepEqual(
    [status, stderr],
    [1, "Failed to resolve hostname 'h' on port -u\ngetaddrinfo: Servname not supported for ai_socktype\n"],
  );
});

/** Command lines that end before a packet leaves, in knock 0.8 and here. */
const SILENT: readonly (readonly string[])[] = [
  [],
  ['-h'],
  ['--help'],
  ['host'],
  ['-x'],
  ['-1'],
  ['-vx', '127.0.0.1', '7'],
  ['-d'],
  ['-d', '5'],
  ['--delay'],
  ['--udp=3'],
  ['--foo=bar', '127.0.0.1', '7'],
  ['--ver', '127.0.0.1', '7'],
  ['127.0.0.1', '-1'],
  ['-d', '-5', '127.0.0.1', '1'],
  ['-d', '-5'],
  ['--delay=-5', '-h'],
  ['127.0.0.1', 'abc'],
  ['-v', '127.0.0.1', '7000-7002'],
  ['127.0.0.1', 'abc:udp', '7000'],
  ['--', '127.0.0.1', '-1'],
  ['-6', '127.0.0.1', '1'],
  ['-4', '::1', '1:udp'],
  ['', '7'],
  ['..', '7:udp'],
];

const REAL = '/usr/bin/knock';

test(`knock answers these command lines as ${REAL} does`, {
  skip: !existsSync(REAL) && `not installed: ${REAL}`,
}, async () => {
  const theirUsage = spawnSync(REAL, ['-h'], { encoding: 'utf8' });
  assert.equal(theirUsage.stdout, USAGE);
  for (const argv of SILENT) {
    const theirs = spawnSync(REAL, argv, { encoding: 'utf8' });
    const ours = await run(argv, 0, { program: REAL, resolve: resolveHost });
    const context = argv.join(' ');
    assert.equal(ours.stderr, theirs.stderr, context);
    assert.equal(ours.status, theirs.status, context);
    assert.equal(ours.stdout.slice(0, 40), theirs.stdout.slice(0, 40), context);
    assert.deepEqual(ours.packets, [], context);
  }
});

test(`knock -v prints what ${REAL} prints`, { skip: !existsSync(REAL) && `not installed: ${REAL}` }, async () => {
  // Loopback's discard ports; nothing leaves the machine.
  const argv = ['-v', '-d', '0', '127.0.0.1', '9', '9:udp', '9:tcp', '--', 'discard'];
  const theirs = spawnSync(REAL, argv, { encoding: 'utf8' });
  const ours = await run(argv, 0, {
    services: () => parseServices('discard 9/tcp\n'),
    resolve: async (address) => [{ address, family: 4 }],
  });
  if (theirs.status === 0) assert.equal(ours.stdout, theirs.stdout);
  else assert.match(theirs.stderr, /on port discard/, 'this machine has no services file');
  assert.equal(ours.status, 0);
});
