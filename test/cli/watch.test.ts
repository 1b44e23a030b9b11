/** `postern watch` at a terminal, and the lines it draws. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { paintFor } from '../../src/cli/terminal.ts';
import { ProbingNews } from '../../src/cli/watch-strangers.ts';
import { WatchView } from '../../src/cli/watch-view.ts';
import { cutTo, widthOf } from '../../src/cli/wording.ts';
import type { LogQuery, Status } from '../../src/control/controlled.ts';
import { wireEntry, wireEvent, wireStranger, wireTime } from '../../src/control/wire-event.ts';
import type { HistoryEntry } from '../../src/core/history.ts';
import { controlDaemon } from '../support/control-daemon.ts';
import { ENTRIES, STATUS, STRANGERS } from '../support/fake-controlled.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';

process.env.TZ = 'UTC';

const NOON = ENTRIES[0]!.time;
const plain = (_: string, text: string): string => text;
const colour = paintFor({ write: () => {}, isTTY: true }, {});
const stage = (source: string, at: number, of = 3) =>
  wireEvent({ kind: 'stage', time: NOON, door: 'ssh', source, stage: at, of });
const draw = (view: WatchView, now: number, size = { columns: 81, rows: 21 }): string =>
  view
    .draw(size, now, NOON)
    .map((line) => line.trimEnd())
    .join('\n');

test('`WatchView` shows doors, knocks on the way and what happened last', () => {
  const view = new WatchView(plain);
  view.hearStatus(STATUS, 1000);
  view.hearEvent(stage('192.0.2.9', 1), 1000);
  view.hearEvent(stage('192.0.2.10', 2), 1000);
  view.hearEvent(wireEntry(ENTRIES[1]!), 1000);
  assert.equal(
    draw(view, 1000),
    `\
postern 0.1.0, up 1d 02h, nftables                                      12:00:00

DOOR  PORTS                  SOURCE             LEFT    BY
ssh   tcp/22                 192.0.2.7          25s     knock
                             2001:db8:1:2::/64  1h 01m  hand (alice)
web   tcp/80, tcp/8000-8010  closed

banned: 1 source

PROBING        SINCE  LAST  BANNED  DID        TOUCHED
198.51.100.66  -      -     9m 59s  20 points  -

KNOCKING    AT   STEPS  LAST
192.0.2.10  ssh  ●●○    12:00:00
192.0.2.9   ssh  ●○○    12:00:00

LATEST
12:00:01  opened    ssh   192.0.2.7    by knock

watcher 4242: 2 attempts under way, 123456 packets, 0 lost, 4 dropped (truncate…
q quits`,
  );
});

test('`WatchView` counts grants down by itself, and never below nothing', () => {
  const view = new WatchView(plain);
  view.hearStatus(STATUS, 0);
  assert.match(draw(view, 20_000), /192\.0\.2\.7 +5s /);
  assert.match(draw(view, 90_000), /192\.0\.2\.7 +0s /);
});

test('`WatchView` shows who gets in without a knock, and counts that down, too', () => {
  const view = new WatchView(plain);
  view.hearStatus(
    {
      ...STATUS,
      bans: [{ source: '198.51.100.66', remaining_ms: null, via: 'hand' }],
      allowed: [
        { source: '192.0.2.50', remaining_ms: 61_000, via: 'hand', user: 'alice' },
        { source: '2001:db8:9::', prefix: 64, remaining_ms: null, via: 'hand' },
      ],
      trial: { file: '/etc/postern/postern.toml', remaining_ms: 31_000 },
    },
    0,
  );
  const section = (now: number, rows = 40): string[] => {
    const lines = draw(view, now, { columns: 120, rows }).split('\n');
    return lines.slice(lines.findIndex((line) => line.startsWith('web')) + 1).slice(0, 7);
  };
  assert.deepEqual(section(1000), [
    '',
    'ALLOWED          LEFT      BY',
    '192.0.2.50       1m 00s    hand (alice)',
    '2001:db8:9::/64  no limit  hand',
    '',
    'banned: 1 source',
    '',
  ]);
  assert.equal(section(21_000)[2], '192.0.2.50       40s       hand (alice)');
  assert.equal(section(90_000)[2], '192.0.2.50       0s        hand (alice)');
  assert.match(draw(view, 90_000, { columns: 120, rows: 40 }), /198\.51\.100\.66 .* no limit +hand/);
});

test('`WatchView` leaves room for the rest however many are allowed', () => {
  const view = new WatchView(plain);
  const allowed = Array.from({ length: 5000 }, (_, i) => ({
    source: `10.0.${i >> 8}.${i & 255}`,
    remaining_ms: 1000,
    via: 'hand' as const,
  }));
  view.hearStatus({ ...STATUS, allowed }, 0);
  const lines = draw(view, 0, { columns: 80, rows: 40 }).split('\n');
  assert.equal(lines.length, 40);
  assert.ok(lines.includes('10.0.0.5     1s    hand'), lines.join('\n'));
  assert.ok(lines.includes('and 4994 more') && lines.includes('NOBODY KNOCKS'));
});

test('`WatchView` shows who probes and who is banned, the worst first, with the time that is left', () => {
  const view = new WatchView(plain);
  view.hearStatus(
    { ...STATUS, bans: [...STATUS.bans, { source: '192.0.2.99', remaining_ms: 60_000, via: 'hand' }] },
    0,
  );
  const worst = wireStranger(STRANGERS[0]!);
  const day = wireTime(NOON - 86_400_000);
  view.hearStrangers([
    worst,
    { ...worst, source: '2001:db8:1:2::', prefix: 64, since: day, traps: 0, scans: 0, closed: 1, banned: false },
  ]);
  const lines = draw(view, 9000, { columns: 120, rows: 40 }).split('\n');
  assert.deepEqual(lines.slice(lines.findIndex((line) => line.startsWith('PROBING'))).slice(0, 5), [
    'PROBING            SINCE       LAST      BANNED  DID                                        TOUCHED',
    '198.51.100.66      11:00:00    12:00:00  9m 50s  3 traps, 12 tries, 9 scans, 1 wrong knock  tcp/23, tcp/22, tcp/81 and…',
    '2001:db8:1:2::/64  2030-01-30  12:00:00  -       1 try, 1 wrong knock                       tcp/23, tcp/22, tcp/81 and…',
    '192.0.2.99         -           -         51s     hand                                       -',
    '',
  ]);
});

test('`ProbingNews` tells of everybody once, of a ban once more, and forgets the first of too many', () => {
  const news = new ProbingNews();
  const worst = wireStranger(STRANGERS[0]!);
  const free = { ...worst, banned: false };
  const told = (...strangers: (typeof worst)[]): number => news.hear(strangers).length;
  assert.deepEqual([told(free), told(free), told(worst), told(worst), told(free), told(worst)], [1, 0, 1, 0, 0, 1]);
  for (let at = 0; at < 4096; at += 1) told({ ...free, source: `10.0.${at >> 8}.${at & 255}` });
  assert.equal(told(free), 1);
});

test('`WatchView` forgets a knock when its door opens, it fails, or nothing more comes', () => {
  const view = new WatchView(plain);
  view.hearStatus(STATUS, 0);
  view.hearEvent(stage('192.0.2.7', 2), 0);
  view.hearEvent(stage('192.0.2.9', 2), 0);
  view.hearEvent(stage('192.0.2.11', 2), 0);
  view.hearEvent(wireEntry(ENTRIES[1]!), 0);
  view.hearEvent(wireEntry(ENTRIES[2]!), 0);
  assert.doesNotMatch(draw(view, 60_000), /192\.0\.2\.(7|9) +ssh +●/);
  assert.match(draw(view, 60_000), /192\.0\.2\.11 +ssh +●/);
  assert.match(draw(view, 60_001), /NOBODY KNOCKS/);
});

test('`WatchView` knows what happened before it began, and has nothing twice', () => {
  const view = new WatchView(plain);
  const entries = ENTRIES.map(wireEntry);
  const latest = (wallNow = NOON): string[] => {
    const lines = view.draw({ columns: 120, rows: 40 }, 0, wallNow).map((line) => line.trimEnd());
    return lines.slice(lines.indexOf('LATEST') + 1).filter((line) => /^\d|^skipped/.test(line));
  };
  view.hearStatus(STATUS, 0);
  view.hearPast(entries.slice(0, 3));
  const past = ['12:00:00  started', '12:00:01  opened    ssh   192.0.2.7    by knock'];
  const failed = '12:00:02  failed    ssh   192.0.2.9    strays';
  const expired = '12:00:31  expired   ssh   192.0.2.7    by knock';
  assert.deepEqual(latest(), [...past, failed]);

  // Told of while the past was asked for: it is there already, and its knock is over all the same.
  view.hearEvent(stage('192.0.2.9', 2), 0);
  view.hearEvent(entries[2]!, 0);
  view.hearEvent({ type: 'skipped', time: entries[2]!.time, count: 7 }, 0);
  view.hearEvent(entries[3]!, 0);
  const skipped = '12:00:02  skipped                      7 events left out: too many at once';
  assert.deepEqual(latest(), [...past, failed, skipped, expired]);
  assert.match(draw(view, 0), /NOBODY KNOCKS/);

  // Another connection tells of all that once more, and of what it alone knows.
  const stopped = { ...entries[0]!, id: 5, time: wireTime(NOON + 60_000), type: 'stopped' } as const;
  view.hearPast([...entries, stopped]);
  assert.deepEqual(latest(), [...past, failed, skipped, expired, '12:01:00  stopped']);

  // A daemon that keeps nothing, with the clock set back: its numbers begin anew.
  view.hearPast([{ ...entries[0]!, time: wireTime(NOON - 1000) }]);
  view.hearEvent({ ...entries[1]!, time: wireTime(NOON) }, 0);
  assert.deepEqual(latest().slice(5), [
    '12:01:00  stopped',
    '11:59:59  started',
    '12:00:00  opened    ssh   192.0.2.7    by knock',
  ]);

  assert.equal(latest(NOON + 86_400_000)[0], '2030-01-31 12:00:00  started');
});

test('`WatchView` keeps its bounds however much comes, and says what it leaves out', () => {
  const view = new WatchView(plain);
  const grant = STATUS.doors[0]!.grants[0]!;
  view.hearStatus(
    { ...STATUS, doors: [{ ...STATUS.doors[0]!, grants: Array.from({ length: 5000 }, () => grant) }] },
    0,
  );
  for (let i = 0; i < 5000; i++) view.hearEvent(stage(`10.0.${i >> 8}.${i & 255}`, 1), 0);
  for (let i = 0; i < 5000; i++) view.hearEvent(wireEntry(ENTRIES[1]!), 0);
  const lines = draw(view, 0, { columns: 80, rows: 40 }).split('\n');
  assert.equal(lines.length, 40);
  assert.ok(lines.includes('and 4982 more'));
  assert.ok(lines.some((line) => /^and \d+ more$/.test(line)));
});

test('`WatchView` fills any window exactly, in colour too', () => {
  const view = new WatchView(colour);
  view.hearStatus(STATUS, 0);
  view.hearEvent(stage('192.0.2.9', 1), 0);
  for (const entry of ENTRIES) view.hearEvent(wireEntry(entry), 0);
  view.hearStrangers(STRANGERS.map(wireStranger));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 60 }), (columns, rows) => {
      const lines = view.draw({ columns, rows }, 0, NOON);
      assert.equal(lines.length, rows);
      for (const line of lines) assert.ok(widthOf(line) < columns, line);
    }),
  );
});

test('`cutTo()` ends what it cuts with an ellipsis and leaves colours whole', () => {
  assert.equal(cutTo(5, 'abcde'), 'abcde');
  assert.equal(cutTo(4, 'abcde'), 'abc…');
  assert.equal(cutTo(0, 'abcde'), '');
  assert.equal(
    cutTo(4, `${colour('red', 'abc')}${colour('bold', 'def')}`),
    `${colour('red', 'abc')}${colour('bold', '…')}`,
  );
});

const ENTERED = '\x1b[?1049h';
const LEFT = '\x1b[?1049l';

test('`postern watch` takes the window, redraws what changed, and gives it back at q', async () => {
  await using at = await controlDaemon();
  const terminal = new FakeTerminal({ columns: 80, rows: 24 });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/192\.0\.2\.7/);
  assert.ok(terminal.out.startsWith(ENTERED));
  const drawn = terminal.out.length;
  at.daemon.happen({ kind: 'stage', time: NOON, door: 'ssh', source: '192.0.2.9', stage: 1, of: 3 });
  await terminal.waitFor(/●○○/, drawn);
  assert.doesNotMatch(terminal.out.slice(drawn), /tcp\/8000-8010/, 'a line that did not change');
  const before = terminal.out.length;
  terminal.resize(60, 10);
  await terminal.waitFor(/tcp\/8000-8010/, before);
  terminal.press('x');
  terminal.press('q');
  assert.equal(await ended, 0);
  assert.ok(terminal.out.endsWith(LEFT));
  assert.equal(terminal.listening, false);
  assert.equal(terminal.err, '');
});

for (const [name, stop] of [
  ['Ctrl-C', (terminal: FakeTerminal) => terminal.press('\x03')],
  ['a signal', (terminal: FakeTerminal) => terminal.interrupt()],
] as const) {
  test(`\`postern watch\` ends at ${name}`, async () => {
    await using at = await controlDaemon();
    const terminal = new FakeTerminal({ columns: 80, rows: 24 });
    const ended = at.runAt(terminal, 'watch');
    await terminal.waitFor(/192\.0\.2\.7/);
    stop(terminal);
    assert.equal(await ended, 0);
    assert.ok(terminal.out.endsWith(LEFT));
  });
}

test('`postern watch` shows at once who is allowed from now on', async () => {
  let allowed: Status['allowed'] = [];
  await using at = await controlDaemon({ status: async () => ({ ...STATUS, allowed }) });
  const terminal = new FakeTerminal({ columns: 80, rows: 24 });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/192\.0\.2\.7/);
  assert.doesNotMatch(terminal.out, /ALLOWED/);
  allowed = [{ source: '192.0.2.50', remaining_ms: 60_000, via: 'hand' }];
  const entry: HistoryEntry = { id: 5, time: NOON, type: 'allowed', source: '192.0.2.50', via: 'hand' };
  at.daemon.happen({ kind: 'history', entry });
  await terminal.waitFor(/ALLOWED/);
  allowed = [];
  const shown = terminal.out.length;
  at.daemon.happen({ kind: 'history', entry: { ...entry, id: 6, type: 'disallowed' } });
  await terminal.waitFor(/\[8;1H\S*banned/, shown);
  terminal.press('q');
  assert.equal(await ended, 0);
});

test('`postern watch` begins with what happened last, and says nothing twice, after a new connection either', async () => {
  await using at = await controlDaemon({
    log: async (query) => {
      asked.push(query);
      at.daemon.happen({ kind: 'history', entry: ENTRIES[3]! });
      if (asked.length === 2) at.daemon.happen({ kind: 'history', entry: { id: 5, time: NOON, type: 'reloaded' } });
      return ENTRIES;
    },
  });
  const asked: LogQuery[] = [];
  const terminal = new FakeTerminal({ columns: 120, rows: 40 });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/expired/);
  /** Types of events, as a window that is drawn anew shows them. */
  const shown = async (): Promise<readonly string[]> => {
    const from = terminal.out.length;
    terminal.resize(120, 40);
    await terminal.waitFor(/q quits/, from);
    return [...terminal.out.slice(from).matchAll(/started|opened|failed|expired|reloaded/g)].map(([type]) => type);
  };
  assert.deepEqual(await shown(), ['started', 'opened', 'failed', 'expired']);
  await at.stop();
  await terminal.waitFor(/The daemon is gone/);
  await at.start();
  await terminal.waitFor(/reloaded/);
  assert.deepEqual(await shown(), ['started', 'opened', 'failed', 'expired', 'reloaded']);
  assert.deepEqual(asked, [{ limit: 100 }, { limit: 100 }]);
  terminal.press('q');
  assert.equal(await ended, 0);
});

test('`postern watch` goes on where the past can not be told', async () => {
  await using at = await controlDaemon({
    log: async () => {
      throw new Error('the disk fails');
    },
  });
  const terminal = new FakeTerminal({ columns: 80, rows: 24 });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/192\.0\.2\.7/);
  at.daemon.happen({ kind: 'history', entry: ENTRIES[2]! });
  await terminal.waitFor(/strays/);
  assert.doesNotMatch(terminal.out, /The daemon is gone/);
  terminal.press('q');
  assert.equal(await ended, 0);
});

test('`postern watch` waits for a daemon that went away', async () => {
  await using at = await controlDaemon();
  const terminal = new FakeTerminal({ columns: 80, rows: 24 });
  const ended = at.runAt(terminal, 'watch');
  await terminal.waitFor(/192\.0\.2\.7/);
  await at.stop();
  await terminal.waitFor(/The daemon is gone: trying to reach it/);
  const gone = terminal.out.length;
  await at.start();
  await terminal.waitFor(/watcher 4242/, gone);
  terminal.press('q');
  assert.equal(await ended, 0);
});

test('The view counts a trial down', () => {
  const view = new WatchView(plain);
  view.hearStatus({ ...STATUS, trial: { file: '/etc/postern/postern.toml', remaining_ms: 41_500 } }, 0);
  const lines = view.draw({ columns: 120, rows: 30 }, 2000, 0);
  assert.ok(
    lines.some((line) => line.startsWith('on trial for another 40s: postern confirm keeps it')),
    lines.join('\n'),
  );
});
