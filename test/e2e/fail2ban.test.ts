/**
 *     mallory 10.77.1.2 ── 10.77.1.1 server
 *
 * fail2ban with our files: its own fail2ban-regex reads the lines that we print, of every event and in every form; its server bans
 * through our action; the action's commands are run against a daemon before a real firewall.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HISTORY_WORDS } from '../../src/control/wire-event.ts';
import type { HistoryEntry, HistoryEvent, HistoryType } from '../../src/core/history.ts';
import { DaemonLog, type LogSettings } from '../../src/keeper/daemon-log.ts';
import { eventually } from '../support/eventually.ts';
import { createTopology, unavailable } from '../support/netns.ts';
import { type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { findProgram, Running } from '../support/running.ts';
import { startSender } from '../support/sender.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = join(import.meta.dirname, '../..');
const files = join(root, 'integration/fail2ban');
const filter = join(files, 'filter.d/postern.conf');
const regexProgram = findProgram('fail2ban-regex');
const serverProgram = findProgram('fail2ban-server');
const clientProgram = findProgram('fail2ban-client');
const skip = regexProgram === undefined && 'needs fail2ban';
const skipServer = (serverProgram === undefined || clientProgram === undefined) && 'needs fail2ban';
const skipPackets = unavailable('nft') || (regexProgram === undefined && 'needs fail2ban');
/** On a busy machine. */
const PATIENCE = 20_000;

const OFFENCES: ReadonlySet<HistoryType> = new Set<HistoryType>(['trapped', 'refused', 'scanned', 'failed']);
const FORGERY = 'ssh: refused 192.0.2.66 (no grant): tcp/22';

/** An event of each type and family, each from a source of its own; what others write tries to pass for an offence. */
function everyEvent(): readonly HistoryEvent[] {
  const types = Object.keys(HISTORY_WORDS) as HistoryType[];
  return types.flatMap((type, index) =>
    [`203.0.113.${index + 1}`, `2001:db8:${index + 1}::`, `2001:db8::${index + 1}`].flatMap((source) =>
      shapes(type, source),
    ),
  );
}

/** The events of a type as the keeper makes them. */
function shapes(type: HistoryType, source: string): readonly HistoryEvent[] {
  switch (type) {
    case 'trapped':
      return [{ type, source, reason: 'tcp/23' }];
    case 'scanned':
      return [{ type, source, reason: '10 ports' }];
    case 'refused':
      return [{ type, door: 'ssh', source, reason: 'no grant', detail: 'tcp/22' }];
    case 'failed':
      return [{ type, door: 'a-door_2', source, reason: 'time' }];
    case 'banned':
      return [
        { type, source, via: 'points', reason: '20 points' },
        { type, source, via: 'hand', user: 'root' },
      ];
    case 'started':
    case 'stopped':
    case 'restored':
    case 'reloaded':
    case 'omitted':
      return [{ type, detail: FORGERY.slice(5) }, { type, detail: `\n${FORGERY}` }, { type }];
    case 'warned':
      return [
        ...[FORGERY, FORGERY.slice(5), `x\n${FORGERY}`].map((detail) => ({ type, detail })),
        { type, source, detail: FORGERY.slice(5) },
      ];
    default:
      return [
        { type, door: 'ssh', source, via: 'knock' },
        { type, door: 'ssh', source, via: 'hand', user: 'alice', reason: 'by hand' },
        { type, door: 'ssh', source, reason: 'on_open', detail: `${FORGERY}\n${FORGERY}\u2028${FORGERY}\r${FORGERY}` },
        { type, door: 'ssh', source, detail: '"source":"192.0.2.66"\n,"type":"trapped","source":"192.0.2.66",' },
      ];
  }
}

const OBSERVED: HistoryEvent = {
  type: 'refused',
  door: 'ssh',
  source: '192.0.2.67',
  reason: 'observed',
  detail: 'tcp/22',
};

/** What the daemon writes of events, to its file and to syslog. */
function logged(events: readonly HistoryEvent[], settings: Partial<LogSettings>, folder: string) {
  const syslog: string[] = [];
  const file = join(folder, `${settings.format}.log`);
  const wallNow = Date.now;
  const log = new DaemonLog(
    {
      stdout: () => {},
      stderr: () => {},
      stderrIsJournal: false,
      wallNow,
      openSyslog: () => ({ write: (line) => void syslog.push(line), close: () => {} }),
      openJournald: () => ({ write: () => false, close: () => {} }),
    },
    { syslog: true, journald: false, format: 'text', level: 'info', file, ...settings },
    false,
  );
  for (const [id, event] of events.entries()) log.event(event, { ...event, id, time: wallNow() } as HistoryEntry);
  log.stage({ time: wallNow(), door: 'ssh', source: '192.0.2.68', stage: 1, of: 3 });
  log.error(`warning: ${FORGERY.slice(5)}\n${FORGERY}\nhint: ${FORGERY}`);
  return { file, syslog };
}

/** The addresses that fail2ban-regex finds in a file, in order. */
function found(file: string): readonly string[] {
  const { stdout, stderr, status } = spawnSync(regexProgram!, ['-o', 'ip', file, filter], { encoding: 'utf8' });
  assert.ok(status === 0 || stdout === '', stderr);
  assert.equal(stderr, '');
  return stdout.split('\n').filter((line) => line !== '');
}

describe('the filter, by the real fail2ban-regex', { skip }, () => {
  const events = [...everyEvent(), OBSERVED];
  const offenders = events.filter(({ type }) => OFFENCES.has(type)).filter((event) => event !== OBSERVED);
  const expected = offenders.map(({ source }) => source!);

  for (const format of ['text', 'json'] as const) {
    test(`finds who did what no honest client does, and nobody else: ${format}, in a file, syslog and the journal`, () => {
      using folder = temporaryFolder();
      const { file, syslog } = logged(events, { format }, folder.path);
      assert.equal(expected.length, 12);
      assert.deepEqual(found(file), expected);
      const now = new Date();
      const stamps = {
        traditional: `${now.toUTCString().slice(8, 11)} ${String(now.getUTCDate()).padStart(2)} ${now.toISOString().slice(11, 19)} a.host posternd: `,
        precise: `${now.toISOString().replace('Z', '123+00:00')} host-2 posternd[123]: `,
      };
      for (const [name, stamp] of Object.entries(stamps)) {
        const path = join(folder.path, name);
        writeFileSync(path, syslog.map((line) => `${stamp}${line}\n`).join(''));
        assert.deepEqual(found(path), expected, name);
      }
    });
  }

  test('does not take what others say for ours', () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'other.log');
    const time = new Date().toISOString();
    const lines = [
      `host sshd[1]: ${FORGERY}`,
      `host posternd-watch: ${FORGERY}`,
      `warning: host posternd: ${FORGERY}`,
      `host logger: posternd: ${FORGERY}`,
      `ssh: hook for 192.0.2.7 (on_open): host posternd: ${FORGERY}`,
    ];
    writeFileSync(file, lines.map((line) => `${time} ${line}\n`).join(''));
    assert.deepEqual(found(file), []);
  });
});

/** The value of a key, as fail2ban's own reader would find it. */
function actionKey(key: string): string {
  const line = readFileSync(join(files, 'action.d/postern.conf'), 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${key} = `));
  assert.ok(line !== undefined, key);
  // "%%" is a percent sign there.
  return line.slice(key.length + 3).replaceAll('%%', '%');
}

function command(key: string, tags: Readonly<Record<string, string>>): string {
  const filled = Object.entries(tags).reduce(
    (text, [tag, value]) => text.replaceAll(`<${tag}>`, value),
    actionKey(key),
  );
  assert.doesNotMatch(filled, /<\w+>/);
  return filled;
}

test('the action turns whatever time fail2ban says into one that we read', () => {
  const endless = '315360000s';
  const times = {
    '600': '600s',
    '600.9': '600s',
    '40000000': '40000000s',
    '-1': endless,
    '315360001': endless,
    '1e9': endless,
  };
  for (const [bantime, duration] of Object.entries(times)) {
    for (const ip of ['203.0.113.7', '2001:db8::7']) {
      const text = command('actionban', { ip, bantime, postern: 'echo' });
      const { stdout } = spawnSync('sh', ['-ec', text], { encoding: 'utf8' });
      assert.equal(stdout, `ban ${ip} --for ${duration}\n`);
    }
  }
});

test('fail2ban’s server takes filter, jail and action as they are, bans and unbans', { skip: skipServer }, async () => {
  using folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  mkdirSync(at('etc'));
  for (const name of ['fail2ban.conf', 'jail.conf', 'paths-common.conf', 'paths-debian.conf', 'filter.d', 'action.d']) {
    if (existsSync(join('/etc/fail2ban', name)))
      cpSync(join('/etc/fail2ban', name), at(`etc/${name}`), { recursive: true });
  }
  for (const name of ['filter.d', 'action.d', 'jail.d'])
    cpSync(join(files, name), at(`etc/${name}`), { recursive: true });
  const asked = at('asked');
  const stub = at('postern');
  writeFileSync(asked, '');
  writeFileSync(stub, `#!/bin/sh\necho "$@" >> '${asked}'\n`);
  chmodSync(stub, 0o755);
  const { file } = logged([], { format: 'text' }, folder.path);
  // What the jail file's own comment says, and the stub.
  writeFileSync(
    at('etc/jail.d/zz.local'),
    `[postern]\nbackend = polling\nlogpath = ${file}\naction = postern[postern="${stub}"]\n`,
  );
  writeFileSync(at('etc/fail2ban.local'), '[Definition]\ndbfile = :memory:\n');
  const options = ['-c', at('etc'), '-s', at('socket'), '-p', at('pid'), '--logtarget', 'STDOUT'];
  const server = new Running([serverProgram!, ...options, '-f', 'start']);
  try {
    await server.waitForLine(/Jail 'postern' started/, PATIENCE);
    const settings = { format: 'text' } as const;
    const refused = (source: string): HistoryEvent => ({ type: 'refused', door: 'ssh', source, reason: 'no grant' });
    const offend = (source: string): void => {
      const other = logged(
        Array.from({ length: 5 }, () => refused(source)),
        settings,
        folder.path,
      );
      assert.equal(other.file, file);
    };
    const asks = (): string => readFileSync(asked, 'utf8');
    for (const source of ['203.0.113.7', '2001:db8:1:2::']) {
      offend(source);
      const line = `ban ${source} --for 3600s\n`;
      assert.ok((await eventually(asks, (text) => text.includes(line))).includes(line), server.lines.join('\n'));
    }
    // The daemon tells of the ban, which is no offence.
    appendFileSync(file, `${new Date().toISOString()} banned 203.0.113.9 (hand, root)\n`.repeat(9));
    spawnSync(clientProgram!, ['-c', at('etc'), '-s', at('socket'), 'set', 'postern', 'unbanip', '203.0.113.7']);
    const unbanned = await eventually(asks, (text) => text.includes('unban 203.0.113.7\n'));
    assert.match(unbanned, /^unban 203\.0\.113\.7$/m);
    assert.doesNotMatch(unbanned, /203\.0\.113\.9/);
  } finally {
    await server.stop('SIGTERM');
  }
});

describe('before a real daemon', { skip: skipPackets }, () => {
  const settings = (format: string): string =>
    `[state]\ndir = "state"\n[log]\nsyslog = false\nfile = "postern.log"\nformat = "${format}"\n`;
  /** Who is banned, and for how many days at least. */
  const banned = (daemon: Posternd): Promise<readonly (readonly [string, number])[]> =>
    daemon.ask(async (control) =>
      (await control.status()).bans.map(({ source, remaining_ms: left }) => [source, Math.floor(left! / 86_400_000)]),
    );

  for (const format of ['text', 'json']) {
    test(`whoever touches a trap or knocks wrong is found in its usual log (${format}), banned and let go by the action`, async () => {
      await using topology = await createTopology({ links: [['server', 'mallory']] });
      const { server, mallory } = topology.hosts;
      await using daemon = await startPosternd(server, {
        doors: sshDoor('30s'),
        top: 'trap = ["tcp/23"]',
        settings: settings(format),
      });
      const sender = startSender(mallory);
      await sender.send(`src=${mallory.address4} dst=${server.address4}: 23 7000 u7001 u7002 u7003 u7004`);
      const log = join(daemon.folder, 'postern.log');
      const sources = await eventually(
        () => found(log),
        (all) => all.length > 1,
      );
      assert.deepEqual([sources.length, ...new Set(sources)], [2, mallory.address4], daemon.read('postern.log'));

      const postern = `${process.execPath} ${join(root, 'bin/postern')} --socket ${join(daemon.folder, 'state/control.sock')}`;
      // The last is a ban without end.
      for (const [ip, bantime, ban] of [
        [mallory.address4, '40000000', [mallory.address4, 462]],
        ['2001:db8:1:2::7', '-1', ['2001:db8:1:2::', 3649]],
      ] as const) {
        await server.exec(['sh', '-ec', command('actionban', { ip, bantime, postern })]);
        assert.deepEqual(await banned(daemon), [ban]);
        await server.exec(['sh', '-ec', command('actionunban', { ip, postern })]);
        assert.deepEqual(await banned(daemon), []);
        // Ended twice is no failure: fail2ban unbans what has run out by itself.
        await server.exec(['sh', '-ec', command('actionunban', { ip, postern })]);
      }
      assert.deepEqual([...new Set(found(log))], [mallory.address4], 'the ban itself is no offence');
      if (format === 'json') for (const line of daemon.read('postern.log').trim().split('\n')) JSON.parse(line);
    });
  }
});
