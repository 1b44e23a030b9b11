/** What the commands that talk to the daemon print, word for word, before a daemon that is only pretended. */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextRound } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { main } from '../../src/cli/postern.ts';
import { Refusal } from '../../src/control/controlled.ts';
import { controlDaemon } from '../support/control-daemon.ts';
import { ENTRIES, STATUS, STRANGERS } from '../support/fake-controlled.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';
import { Running } from '../support/running.ts';

process.env.TZ = 'UTC';

const done = (out: string) => ({ status: 0, out, err: '' });

const STATUS_TEXT = `\
postern 0.1.0, up 1d 02h, nftables
watcher 4242: 2 attempts under way, 123456 packets, 0 lost, 4 dropped (truncated 3, link-type 1), landlock 7, seccomp

DOOR  PORTS                  SOURCE             LEFT    BY
ssh   tcp/22                 192.0.2.7          25s     knock
                             2001:db8:1:2::/64  1h 01m  hand (alice)
web   tcp/80, tcp/8000-8010  closed

BANNED         LEFT    BY
198.51.100.66  9m 59s  20 points
`;

test('`postern status` shows doors, grants, bans and health', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(await at.postern('status'), done(STATUS_TEXT));
});

test('`postern status` of a daemon that only observes says how many would be banned', async () => {
  const observing = { ...STATUS, mode: 'observe' as const };
  for (const [number, words] of [
    [0, ''],
    [1, ', 1 source would be banned (postern attackers)'],
  ] as const) {
    await using at = await controlDaemon({ status: async () => ({ ...observing, would_be_banned: number }) });
    assert.ok((await at.postern('status')).out.includes(`\nIt only observes: nothing is dropped${words}\n`));
  }
});

test('`postern status` shows who is held in the tarpit, and one that does not run', async () => {
  const tarpit = {
    port: 22_022,
    pid: 4243,
    restarts: 0,
    held: 3,
    connections: 256,
    total: 120,
    turned_away: 5,
    confinement: 'landlock 7, seccomp',
  };
  const lineWith = async (changes: Partial<typeof tarpit> | { pid: undefined }): Promise<string | undefined> => {
    await using at = await controlDaemon({ status: async () => ({ ...STATUS, tarpit: { ...tarpit, ...changes } }) });
    return (await at.postern('status')).out.split('\n')[2];
  };
  assert.equal(
    await lineWith({}),
    'tarpit 4243: 3 of 256 connections held, 120 in all, 5 turned away, landlock 7, seccomp',
  );
  assert.equal(
    await lineWith({ restarts: 2 }),
    'tarpit 4243: 3 of 256 connections held, 120 in all, 5 turned away, 2 restarts, landlock 7, seccomp',
  );
  assert.equal(await lineWith({ pid: undefined }), 'The tarpit does not run: it is started again');
});

test('`postern status` in a terminal says the same in colour, unless NO_COLOR', async () => {
  await using at = await controlDaemon();
  const size = { columns: 80, rows: 24 };
  const coloured = new FakeTerminal(size);
  assert.equal(await at.runAt(coloured, 'status'), 0);
  assert.notEqual(coloured.out, STATUS_TEXT);
  assert.equal(stripVTControlCharacters(coloured.out), STATUS_TEXT);
  for (const environment of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    const plain = new FakeTerminal(size, environment);
    await at.runAt(plain, 'status');
    assert.equal(plain.out, STATUS_TEXT);
  }
});

test('`postern ban`, `unban`, `allow` and `disallow` say what they did', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(await at.postern('ban', '192.0.2.66'), done('192.0.2.66 is banned, 10m 00s left\n'));
  assert.deepEqual(await at.postern('ban', '192.0.2.66', '--for', '1h', '--json'), {
    ...done('{"source":"192.0.2.66","remaining_ms":3600000,"via":"hand"}\n'),
  });
  assert.deepEqual(await at.postern('unban', '198.51.100.66'), done('198.51.100.66 is no longer banned\n'));
  assert.deepEqual(await at.postern('unban', '192.0.2.66'), done('192.0.2.66 was not banned\n'));
  assert.match((await at.postern('ban', '2001:DB8:9::/64')).out, /^2001:db8:9::.* is banned/, 'as it is shown');
  assert.match((await at.postern('unban', '192.0.2.7/32')).out, /^192\.0\.2\.7 /);
  assert.deepEqual(await at.postern('allow', '2001:DB8::7'), done('2001:db8::7 passes every door, 10m 00s left\n'));
  assert.deepEqual(await at.postern('disallow', '192.0.2.66', '--json'), done('{"ended":false}\n'));
  assert.deepEqual(at.daemon.calls, [
    'ban 192.0.2.66 undefined',
    'ban 192.0.2.66 3600000',
    'unban 198.51.100.66',
    'unban 192.0.2.66',
    'ban 2001:db8:9::/64 undefined',
    'unban 192.0.2.7',
    'allow 2001:db8::7 undefined',
    'disallow 192.0.2.66',
  ]);
  const refused = await at.postern('ban', '192.0.2.7');
  assert.deepEqual([refused.status, refused.err], [1, 'postern: Cannot ban 192.0.2.7: a door is open for it\n']);
  assert.equal((await at.postern('ban', 'everybody')).status, 2);
});

test('`postern attackers` shows who has been probing, and how', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(
    await at.postern('attackers'),
    done(`\
SOURCE         SINCE                LAST                 POINTS  TRAPS  TRIES  SCANS  KNOCKS  DENIED  PORTS
198.51.100.66  2030-01-31 11:00:00  2030-01-31 12:00:00  17.5    3      12     9      1       0       tcp/23, tcp/22, tcp/81 and 92 others; knocked on ssh  banned
`),
  );
  const { out } = await at.postern('attackers', '--json', '-n', '5');
  assert.equal(JSON.parse(out)[0].points, 17.5);
  assert.deepEqual(at.daemon.calls, ['attackers 20', 'attackers 5']);
  await using quiet = await controlDaemon({ attackers: async () => [] });
  assert.deepEqual(await quiet.postern('attackers'), done('Nobody has been probing\n'));
});

test('`postern status` says that a configuration is on trial, and how it stays', async () => {
  const trial = { file: '/etc/postern/postern.toml', remaining_ms: 41_500 };
  await using at = await controlDaemon({ status: async () => ({ ...STATUS, trial }) });
  assert.match(
    (await at.postern('status')).out,
    /^on trial for another 42s: postern confirm keeps it, else .* is back$/m,
  );
  assert.deepEqual(JSON.parse((await at.postern('status', '--json')).out).trial, trial);
  await using other = await controlDaemon({
    status: async () => ({ ...STATUS, trial: { ...trial, file: '/x.toml' } }),
  });
  assert.match((await other.postern('status')).out, /: postern --config \/x\.toml confirm keeps it/);
});

test('`postern status --json` is the status as the socket has it, on one line', async () => {
  await using at = await controlDaemon();
  const { status, out, err } = await at.postern('status', '--json');
  assert.deepEqual([status, err, out.indexOf('\n')], [0, '', out.length - 1]);
  assert.deepEqual(JSON.parse(out), STATUS);
});

test('`postern status` says what is not well, and keeps what others wrote harmless', async () => {
  await using at = await controlDaemon({
    status: async () => ({
      ...STATUS,
      doors: [
        {
          name: 'ssh',
          protect: ['tcp/22'],
          grants: [
            { source: '192.0.2.7', remaining_ms: Number.POSITIVE_INFINITY, via: 'adopted', user: 'a\x1b[2Jb\u202e' },
          ],
        },
      ],
      bans: [],
      watcher: { ...STATUS.watcher, pid: undefined },
      warnings: ['the state is in memory only', 'Port tcp/22 is refused\x1b[2J\nhint: ufw allow 22/tcp # once'],
    }),
  });
  assert.deepEqual(
    await at.postern('status'),
    done(`\
postern 0.1.0, up 1d 02h, nftables
The watcher does not run: nobody hears knocks

DOOR  PORTS   SOURCE     LEFT      BY
ssh   tcp/22  192.0.2.7  no limit  adopted (a\\x1b[2Jb\\u{202e})

warning: the state is in memory only
warning: Port tcp/22 is refused\\x1b[2J
hint: ufw allow 22/tcp # once
`),
  );
});

test('`postern show` shows how a door is knocked on', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(
    await at.postern('show', 'ssh'),
    done(`\
door       ssh
protects   tcp/22
opens for  30s, begun anew by another knock; sessions go on after that
knock      tcp/7000 udp/8000 tcp/9000, within 10s
try        knock HOST 7000 8000:udp 9000
`),
  );
  const { out } = await at.postern('show', 'ssh', '--json');
  assert.deepEqual(JSON.parse(out), {
    name: 'ssh',
    protect: ['tcp/22'],
    open_for_ms: 30_000,
    renew: true,
    close: 'keep',
    steps: ['tcp/7000', 'udp/8000', 'tcp/9000'],
    within_ms: 10_000,
  });
});

test('`postern show` takes a door from the configuration when no daemon runs', async () => {
  await using at = await controlDaemon();
  const { out: asked } = await at.postern('show', 'ssh', '--json');
  await at.stop();
  assert.deepEqual(await at.postern('show', 'ssh', '--json'), done(asked));
  assert.deepEqual(
    await at.postern('show', 'hand'),
    done(`\
door       hand
protects   tcp/443 tcp/8000-8010
opens for  1h, whatever is knocked meanwhile; sessions are reset after that
knock      none: postern open hand ADDRESS

No daemon runs; this is from ${at.config}
`),
  );
  assert.deepEqual(await at.postern('show', 'nosuch'), {
    status: 1,
    out: '',
    err: `postern: There is no door "nosuch" in ${at.config}\nhint: There are ssh, hand\n`,
  });
  writeFileSync(at.config, '[door.ssh]\nprotekt = ["tcp/22"]\n');
  const { status, err } = await at.postern('show', 'ssh');
  assert.equal(status, 1);
  assert.match(err, /^postern: .*postern\.toml:2: .*protekt/);
});

test('`postern open` opens a door, for its own time or another', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(await at.postern('open', 'ssh', '192.0.2.7'), done('ssh is open for 192.0.2.7, 30s left\n'));
  assert.deepEqual(
    await at.postern('open', 'ssh', '2001:DB8::0:7', '--for', '1h30m'),
    done('ssh is open for 2001:db8::7, 1h 30m left\n'),
  );
  assert.deepEqual(
    await at.postern('open', 'ssh', '192.0.2.7', '--json'),
    done('{"source":"192.0.2.7","remaining_ms":30000,"via":"hand"}\n'),
  );
  assert.deepEqual(at.daemon.calls, [
    'open ssh 192.0.2.7 undefined',
    'open ssh 2001:db8::7 5400000',
    'open ssh 192.0.2.7 undefined',
  ]);
});

test('`postern close` ends one grant or all; what was not open is no failure', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(await at.postern('close', 'ssh', '192.0.2.7'), done('ssh is closed for 192.0.2.7\n'));
  assert.deepEqual(await at.postern('close', 'ssh', '192.0.2.8'), done('ssh was not open for 192.0.2.8\n'));
  assert.deepEqual(await at.postern('close', 'ssh'), done('ssh is closed, 2 grants ended\n'));
  assert.deepEqual(await at.postern('close', 'ssh', '--json'), done('{"closed":2}\n'));
});

test('what the daemon refuses is told, with status 1', async () => {
  await using at = await controlDaemon();
  for (const words of [
    ['open', 'shh', '192.0.2.7'],
    ['close', 'shh'],
    ['show', 'shh'],
  ]) {
    const refused = { status: 1, out: '', err: 'postern: There is no door "shh": there are ssh, web\n' };
    assert.deepEqual(await at.postern(...words), refused);
  }
});

test('`postern reload` says what was read, or everything that is wrong', async () => {
  await using good = await controlDaemon({
    reload: async () => ({ doors: 1, warnings: ['postern.toml:3: warning: x\nhint: y'] }),
  });
  assert.deepEqual(await good.postern('reload'), {
    status: 0,
    out: 'reloaded: 1 door\n',
    err: 'postern.toml:3: warning: x\nhint: y\n',
  });
  assert.deepEqual((await good.postern('reload', '--json')).err, '');
  await using bad = await controlDaemon({
    reload: async () => {
      throw new Refusal('postern.toml:3: Unknown key "protekt"\nhint: Write "protect"');
    },
  });
  assert.deepEqual(await bad.postern('reload'), {
    status: 1,
    out: '',
    err: 'postern: postern.toml:3: Unknown key "protekt"\nhint: Write "protect"\n',
  });
});

test('`postern reload` reaches the daemon while the configuration is broken', async () => {
  await using at = await controlDaemon();
  for (const rest of ['[door.ssh]\nprotekt = 3\n', '[capture]\ninterfaces = 7\n']) {
    writeFileSync(at.config, `[control]\nsocket = "${at.socket}"\n${rest}`);
    assert.deepEqual(await at.postern('reload'), done('reloaded: 2 doors\n'));
  }
});

test('`postern log` prints what happened, a line an event', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(
    await at.postern('log'),
    done(`\
2030-01-31 12:00:00  started
2030-01-31 12:00:01  opened    ssh   192.0.2.7    by knock
2030-01-31 12:00:02  failed    ssh   192.0.2.9    strays
2030-01-31 12:00:31  expired   ssh   192.0.2.7    by knock
`),
  );
  const { out } = await at.postern('log', '--json');
  assert.equal(
    out.split('\n')[2],
    '{"time":"2030-01-31T12:00:02.000Z","type":"failed","door":"ssh","source":"192.0.2.9","reason":"strays","id":3}',
  );
});

test('`postern log` asks for what its options say', async () => {
  await using at = await controlDaemon();
  const words = [
    '-d',
    'ssh',
    '--source',
    '2001:DB8::1',
    '--type',
    'opened,closed',
    '-t',
    'denied',
    '-n',
    '5',
    '--since',
  ];
  assert.equal((await at.postern('log', ...words, '2030-01-31T11:00:00Z')).status, 0);
  assert.deepEqual(at.daemon.calls, [
    `log ${JSON.stringify({ door: 'ssh', sources: ['2001:db8::1'], types: ['opened', 'closed', 'denied'], since: ENTRIES[0]!.time - 3_600_000, limit: 5 })}`,
  ]);
});

test('`postern log --follow` goes on with what happens and says nothing twice', async () => {
  await using at = await controlDaemon({
    log: async () => {
      // Happens between question and answer.
      at.daemon.happen({ kind: 'history', entry: ENTRIES[1]! });
      return ENTRIES.slice(0, 2);
    },
  });
  const terminal = new FakeTerminal();
  const ended = at.runAt(terminal, 'log', '--follow', '--json');
  await terminal.waitFor(/opened/);
  at.daemon.happen({ kind: 'stage', time: 0, door: 'ssh', source: '192.0.2.9', stage: 1, of: 3 });
  at.daemon.happen({ kind: 'history', entry: ENTRIES[2]! });
  await terminal.waitFor(/failed/);
  terminal.interrupt();
  assert.equal(await ended, 0);
  const types = terminal.out
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { type: string }).type);
  assert.deepEqual(types, ['started', 'opened', 'failed']);
});

test('`postern log --follow -n 0` tells only what happens from now on', async () => {
  await using at = await controlDaemon();
  const terminal = new FakeTerminal();
  const ended = at.runAt(terminal, 'log', '--follow', '-n', '0', '--json');
  while (at.daemon.following === 0) await nextRound();
  at.daemon.happen({ kind: 'history', entry: ENTRIES[2]! });
  await terminal.waitFor(/failed/);
  terminal.interrupt();
  assert.equal(await ended, 0);
  assert.equal(terminal.out.split('\n').length - 1, 1);
});

test('`postern log --follow` fails when the daemon goes away', async () => {
  await using at = await controlDaemon();
  const terminal = new FakeTerminal();
  const ended = at.runAt(terminal, 'log', '--follow');
  await terminal.waitFor(/expired/);
  await at.stop();
  assert.equal(await ended, 1);
  assert.equal(terminal.err, 'postern: The daemon ended the connection\n');
});

const PROBING_TEXT = `
PROBING        SINCE     LAST      BANNED  DID                                        TOUCHED
198.51.100.66  11:00:00  12:00:00  9m 59s  3 traps, 12 tries, 9 scans, 1 wrong knock  tcp/23, tcp/22, tcp/81 and 92 others; knocked on ssh
`;

test('`postern watch` into a pipe shows what there is, once, and names what follows', async () => {
  await using at = await controlDaemon();
  assert.deepEqual(await at.postern('watch'), {
    status: 0,
    out: STATUS_TEXT + PROBING_TEXT,
    err: 'postern: This is no terminal: what happens from now on is told by postern log --follow (--json)\n',
  });
});

test('`postern watch` at a terminal that cannot be drawn on is text: the status, then a line an event', async () => {
  await using at = await controlDaemon();
  const terminal = new FakeTerminal({ columns: 80, rows: 24 }, { TERM: 'dumb' });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/BANNED/);
  at.daemon.happen({ kind: 'stage', time: ENTRIES[1]!.time, door: 'ssh', source: '192.0.2.9', stage: 1, of: 3 });
  await terminal.waitFor(/stage/);
  terminal.interrupt();
  assert.equal(await ended, 0);
  assert.equal(terminal.out, `${STATUS_TEXT}${PROBING_TEXT}\n2030-01-31 12:00:01  stage     ssh   192.0.2.9    ●○○\n`);
});

test('`postern watch` there has a line for each who begins to probe, and who is banned since, once', async () => {
  const [known] = STRANGERS;
  const fresh = { ...known!, source: '203.0.113.5', scans: 0, failed: 0, closed: 1, doors: [], banned: false };
  let strangers = [{ ...known!, banned: false }];
  await using at = await controlDaemon({ attackers: async () => strangers });
  const terminal = new FakeTerminal({ columns: 80, rows: 24 }, { TERM: 'dumb' });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/PROBING/);
  const entry = { id: 9, time: ENTRIES[1]!.time, type: 'trapped', source: fresh.source, reason: 'tcp/23' } as const;
  strangers = [{ ...known!, banned: true }, fresh];
  at.daemon.happen({ kind: 'history', entry });
  await terminal.waitFor(/^probing: /m);
  const told = terminal.out.length;
  strangers = [...strangers, { ...fresh, source: '203.0.113.6' }];
  at.daemon.happen({ kind: 'history', entry: { ...entry, id: 10, source: '203.0.113.6' } });
  await terminal.waitFor(/^probing: /m, told);
  terminal.interrupt();
  assert.equal(await ended, 0);
  assert.deepEqual(
    terminal.out.split('\n').filter((line) => /^(probing|banned): /.test(line)),
    [
      'banned: 198.51.100.66, since 2030-01-31 11:00:00: 3 traps, 12 tries, 9 scans, 1 wrong knock; tcp/23, tcp/22, tcp/81 and 92 others; knocked on ssh',
      'probing: 203.0.113.5, since 2030-01-31 11:00:00: 3 traps, 1 try; tcp/23, tcp/22, tcp/81 and 92 others',
      'probing: 203.0.113.6, since 2030-01-31 11:00:00: 3 traps, 1 try; tcp/23, tcp/22, tcp/81 and 92 others',
    ],
  );
});

test('`postern watch --json` is what `status --json` and `attackers --json` print, at a terminal too', async () => {
  await using at = await controlDaemon();
  const [status, attackers] = [await at.postern('status', '--json'), await at.postern('attackers', '--json')];
  const { out, err } = await at.postern('watch', '--json');
  assert.equal(err, '');
  assert.deepEqual(JSON.parse(out), { status: JSON.parse(status.out), attackers: JSON.parse(attackers.out) });
  const terminal = new FakeTerminal({ columns: 80, rows: 24 });
  assert.equal(await at.runAt(terminal, 'watch', '--json'), 0);
  assert.equal(terminal.out, out);
});

const NO_DAEMON = (socket: string, origin: string) =>
  `postern: No daemon at ${socket} (${origin})\nhint: Start posternd (--config FILE), or name the configuration of the one that runs: postern --config FILE ... (knockd has no socket: it tells its log)\n`;

test('without a daemon, every command says where it looked, and why there', async () => {
  await using at = await controlDaemon();
  await at.stop();
  for (const words of [['status'], ['open', 'ssh', '192.0.2.7'], ['close', 'ssh'], ['log'], ['watch'], ['reload']]) {
    assert.deepEqual(await at.postern(...words), {
      status: 1,
      out: '',
      err: NO_DAEMON(at.socket, `the one of ${at.config}`),
    });
  }
  const nowhere = join(at.folder, 'nowhere.sock');
  assert.equal((await at.postern('--socket', nowhere, 'status')).err, NO_DAEMON(nowhere, 'as --socket says'));
  const bare = join(at.folder, 'bare.toml');
  writeFileSync(bare, '[door.ssh]\nprotect = ["tcp/22"]\n');
  const { err } = await at.postern('--config', bare, 'status');
  const usual = '/var/lib/postern/control.sock';
  if (!existsSync(usual)) assert.equal(err, NO_DAEMON(usual, `the usual one: ${bare} names no other`));
});

test('a socket without permission names the group', { skip: process.geteuid?.() !== 0 && 'needs root' }, async () => {
  await using at = await controlDaemon();
  chmodSync(at.folder, 0o755);
  chmodSync(join(at.folder, 'state'), 0o755);
  const program = `process.setgroups([]); process.setgid(65534); process.setuid(65534);
    import(${JSON.stringify(join(import.meta.dirname, '../../src/cli/postern.ts'))})
      .then(({ main }) => main(['--socket', ${JSON.stringify(at.socket)}, 'status'])).then((status) => process.exit(status));`;
  const { status, stderr } = await new Running([process.execPath, '-e', program]).end({ mayFail: true });
  const [said, hint] = stderr.split('\n');
  assert.equal(said, `postern: No permission to use ${at.socket}`);
  assert.match(hint ?? '', /^hint: Become root, or (join|make) the group.*usermod -aG postern USER.*log in again$/);
  assert.equal(status, 1);
});

test('`--config` and `--socket` are taken before and after the command', async () => {
  await using at = await controlDaemon();
  for (const words of [
    ['--socket', at.socket, 'close', 'ssh'],
    ['close', 'ssh', '--socket', at.socket],
    ['close', '-c', at.config, 'ssh'],
  ]) {
    const terminal = new FakeTerminal();
    assert.equal(await main(words, terminal), 0, terminal.err);
  }
});

const MISTAKES: readonly (readonly [readonly string[], RegExp])[] = [
  [['dance'], /^postern: unknown command 'dance'/],
  [['open', 'ssh'], /^postern: missing required argument 'source'/],
  [
    ['ban', '192.0.2.0/24'],
    /Write one address such as "192\.0\.2\.7": IPv4 sources are taken one by one\. Blocks are for the file, allow = \["192\.0\.2\.0\/24"\] in postern\.toml/m,
  ],
  [['unban', '2001:db8::/129'], /Write an IP address such as "192\.0\.2\.7"\.$/m],
  [['open', 'ssh', '1..2.3'], /Write an IP address such as "192\.0\.2\.7"\.$/m],
  [['open', 'ssh', '192.0.2.7', '--for', '30'], /Add a unit: "30s" is seconds/],
  [['close'], /^postern: missing required argument 'door'/],
  [['log', '--type', 'closd'], /There is no "closd"; there are opened,/],
  [['log', '--since', 'yesterday'], /Write "1h" for an hour ago/],
  [['log', '--limit', '0'], /Write a whole number from 1 to 10000\.$/m],
  [['status', '--jsn'], /^postern: unknown option '--jsn'/],
  [['status', 'ssh'], /^postern: too many arguments/],
  [['completion', 'tcsh'], /Allowed choices are bash, zsh, fish\.$/m],
];

for (const [words, message] of MISTAKES) {
  test(`\`postern ${words.join(' ')}\` is a usage error`, async () => {
    await using at = await controlDaemon();
    const { status, out, err } = await at.postern(...words);
    assert.deepEqual([status, out], [2, '']);
    assert.match(err, message);
    assert.deepEqual(at.daemon.calls, []);
  });
}

test('a configuration that cannot be read, or does not tell the socket, is a failure', async () => {
  await using at = await controlDaemon();
  const missing = new FakeTerminal();
  assert.equal(await main(['--config', join(at.folder, 'nosuch.toml'), 'status'], missing), 1);
  assert.match(missing.err, /nosuch\.toml: No such file or directory\nhint: Name the socket itself/);
  writeFileSync(at.config, '[control]\nsocket = 7\n');
  const { status, err } = await at.postern('status');
  assert.equal(status, 1);
  assert.match(
    err,
    /^postern: Cannot tell from .*postern\.toml where the daemon listens\nhint: Correct it \(postern check/,
  );
});

test('`postern open` refuses what no host can be, and this machine itself, in one sentence', async () => {
  await using at = await controlDaemon();
  const itself = 'is this machine itself, which passes every door';
  const nobody = 'is not the address of a host';
  for (const [source, why] of [
    ['127.0.0.1', itself],
    ['::1', itself],
    ['0.0.0.0', nobody],
    ['::', nobody],
    ['224.0.0.1', nobody],
    ['ff02::1', nobody],
  ] as const) {
    const err = `postern: "source" "${source}" ${why}\n`;
    assert.deepEqual(await at.postern('open', 'ssh', source), { status: 1, out: '', err });
  }
  assert.deepEqual(at.daemon.calls, []);
});

test('`postern show` says what to do with a configuration of knockd', async () => {
  await using at = await controlDaemon();
  const file = join(at.folder, 'knockd.conf');
  writeFileSync(file, '[options]\n\tlogfile = /var/log/knockd.log\n');
  const terminal = new FakeTerminal();
  await at.stop();
  assert.equal(await main(['--socket', at.socket, '--config', file, 'show', 'ssh'], terminal), 1);
  assert.match(
    terminal.err,
    /^postern: No daemon at .*, and .*knockd\.conf is a configuration of knockd\nhint: Turn it into/,
  );
});
