import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HistoryEvent } from '../../src/core/history.ts';
import { DaemonLog, type LogSettings } from '../../src/keeper/daemon-log.ts';
import type { JournaldFields } from '../../src/platform/journald.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const NOW = Date.parse('2030-01-31T12:00:00Z');
const SETTINGS: LogSettings = { syslog: true, journald: false, format: 'text', level: 'info' };
const OPENED: HistoryEvent = { type: 'opened', door: 'ssh', source: '192.0.2.7', via: 'knock' };
const STAGE = { time: NOW, door: 'ssh', source: '192.0.2.7', stage: 1, of: 3 };

function stage(given: Partial<LogSettings> = {}, { verbose = true, takes = true, stderrIsJournal = false } = {}) {
  const said = { out: [] as string[], err: [] as string[], syslog: [] as string[], journald: [] as JournaldFields[] };
  const journal = { takes };
  let open = 0;
  const opened = (write: (what: never) => unknown): { write: never; close: () => void } => {
    open++;
    return { write: write as never, close: () => void open-- };
  };
  const log = new DaemonLog(
    {
      stdout: (text) => said.out.push(text),
      stderr: (text) => said.err.push(text),
      stderrIsJournal,
      wallNow: () => NOW,
      openSyslog: () => opened((line: string) => said.syslog.push(line)),
      openJournald: () =>
        opened((fields: JournaldFields) => {
          if (journal.takes) said.journald.push(fields);
          return journal.takes;
        }),
    },
    { ...SETTINGS, ...given },
    verbose,
  );
  return { log, ...said, journal, open: () => open };
}

test('An event is said to syslog, and to standard output by whoever asked for it', () => {
  for (const verbose of [true, false]) {
    const { log, out, err, syslog } = stage({}, { verbose });
    log.event(OPENED);
    assert.deepEqual(syslog, ['ssh: opened for 192.0.2.7 (knock)']);
    assert.deepEqual([out, err], [verbose ? ['ssh: opened for 192.0.2.7 (knock)\n'] : [], []]);
  }
});

test('The level says what is left out, after a reload too', () => {
  const { log, syslog } = stage({ level: 'warning' });
  const failed: HistoryEvent = { type: 'failed', door: 'ssh', source: '192.0.2.7', reason: 'time' };
  log.event(failed);
  log.stage(STAGE);
  assert.deepEqual(syslog, []);
  const line = 'ssh: failed knock of 192.0.2.7 (time)';
  for (const [level, lines] of [
    ['info', [line]],
    ['debug', [line, 'ssh: 192.0.2.7 has knocked 1 of 3']],
  ] as const) {
    log.configure({ ...SETTINGS, level });
    log.event(failed);
    log.stage(STAGE);
    assert.deepEqual(syslog.splice(0), lines, level);
  }
});

test('In JSON every line is an object, on standard error too', () => {
  const { log, out, err, syslog } = stage({ format: 'json', level: 'debug' });
  log.event(OPENED, { ...OPENED, id: 7, time: NOW });
  log.event({ type: 'omitted', detail: '3 lines about strangers' });
  log.stage(STAGE);
  log.error('warning: one\nhint: two');
  const time = '"time":"2030-01-31T12:00:00.000Z"';
  const lines = [
    `{${time},"type":"opened","door":"ssh","source":"192.0.2.7","via":"knock","id":7}`,
    `{${time},"type":"omitted","detail":"3 lines about strangers"}`,
    `{${time},"type":"stage","door":"ssh","source":"192.0.2.7","stage":1,"of":3}`,
    `{${time},"type":"warned","detail":"one"}`,
    `{${time},"type":"warned","detail":"two"}`,
  ];
  assert.deepEqual(syslog, lines);
  const printed = lines.map((line) => `${line}\n`);
  assert.deepEqual([out, err], [printed.slice(0, 3), printed.slice(3)]);
});

test('What is no event goes to standard error as it is, and to the log a line each, none of which passes for an event', () => {
  const { log, out, err, syslog } = stage();
  log.error('warning: no room\nssh: refused 192.0.2.7 (no grant)\n\nhint: \u001b[2Jmake some');
  assert.deepEqual(out, []);
  assert.equal(err.join(''), 'warning: no room\nssh: refused 192.0.2.7 (no grant)\nhint: \u001b[2Jmake some\n');
  assert.deepEqual(syslog, ['warning: no room', 'error: ssh: refused 192.0.2.7 (no grant)', 'hint: ?[2Jmake some']);
});

test('The journal gets the text and a field for each part, whatever the format; syslog only what the journal does not take', () => {
  for (const format of ['text', 'json'] as const) {
    const { log, syslog, journald, journal } = stage({ journald: true, format });
    const event = { type: 'hooked', door: 'ssh', source: '192.0.2.7', reason: 'on_open', detail: 'a\nb' } as const;
    log.event(event, { ...event, id: 7, time: NOW });
    assert.deepEqual(
      { ...journald[0] },
      {
        MESSAGE: 'ssh: hook for 192.0.2.7 (on_open): a / b',
        PRIORITY: '6',
        SYSLOG_FACILITY: '3',
        SYSLOG_IDENTIFIER: 'posternd',
        POSTERN_TYPE: 'hooked',
        POSTERN_DOOR: 'ssh',
        POSTERN_SOURCE: '192.0.2.7',
        POSTERN_REASON: 'on_open',
        POSTERN_VIA: undefined,
        POSTERN_USER: undefined,
        POSTERN_DETAIL: 'a\nb',
        POSTERN_ID: '7',
      },
    );
    assert.deepEqual(syslog, []);
    journal.takes = false;
    log.event(OPENED);
    assert.equal(syslog.length, 1);
  }
});

test('What is no event is said once to who reads the journal, wherever standard error leads', () => {
  for (const [settings, takes, stderrIsJournal, expected] of [
    [{ syslog: true }, true, false, ['log', 'err']],
    [{ syslog: true }, true, true, ['log']],
    [{ journald: true }, true, true, ['log']],
    [{ journald: true, format: 'json' }, true, true, ['log']],
    [{ journald: true, syslog: false }, false, true, ['err']],
    [{ syslog: false }, true, true, ['err']],
  ] as const) {
    const { log, out, err, syslog, journald } = stage(settings, { takes, stderrIsJournal });
    log.error('warning: The file has no door');
    const said = [...Array<string>(syslog.length + journald.length).fill('log'), ...err.map(() => 'err')];
    assert.deepEqual([said, out], [expected, []], JSON.stringify([settings, takes, stderrIsJournal]));
  }
});

test('A priority is that of syslog', () => {
  const { log, journald } = stage({ journald: true, level: 'debug' });
  log.error('the capture ended');
  log.error('note: it is so');
  log.event({ type: 'denied' });
  log.event({ type: 'started' });
  log.stage(STAGE);
  assert.deepEqual(
    journald.map(({ PRIORITY }) => PRIORITY),
    ['3', '6', '4', '6', '7'],
  );
});

test('What is not wanted any more is closed', () => {
  const { log, open } = stage({ journald: true });
  assert.equal(open(), 2);
  log.configure({ ...SETTINGS, journald: true });
  assert.equal(open(), 2);
  log.configure({ ...SETTINGS, syslog: false });
  assert.equal(open(), 0);
});

test('A line of a file begins with the time in UTC; JSON has it already', () => {
  using folder = temporaryFolder();
  for (const [format, begins] of [
    ['text', '2030-01-31T12:00:00.000Z ssh: '],
    ['json', '{"time":"2030-01-31T12:00:00.000Z",'],
  ] as const) {
    const file = join(folder.path, format);
    stage({ file, format }).log.event(OPENED);
    assert.ok(readFileSync(file, 'utf8').startsWith(begins));
  }
});

test('A file that was moved or removed is begun anew', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.log');
  const { log } = stage({ file });
  const lines = (path: string): number => readFileSync(path, 'utf8').split('\n').length - 1;
  log.event(OPENED);
  log.event(OPENED);
  renameSync(file, `${file}.1`);
  log.event(OPENED);
  assert.deepEqual([lines(`${file}.1`), lines(file)], [2, 1]);
  rmSync(file);
  log.event(OPENED);
  assert.equal(lines(file), 1);
});

test('The folder of a file is made where it is missing, for its owner alone', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'a/b/postern.log');
  const { log, err } = stage({ file });
  log.event(OPENED);
  assert.match(readFileSync(file, 'utf8'), /opened for/);
  assert.equal(statSync(join(folder.path, 'a/b')).mode & 0o777, 0o700);
  assert.deepEqual(err, []);
});

test('A file that cannot be opened is a warning, and is tried again', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'nosuch/postern.log');
  writeFileSync(join(folder.path, 'nosuch'), '');
  const { log, err, syslog } = stage({ file });
  const warning = `warning: Cannot open the log file ${file}: Not a directory`;
  assert.deepEqual([err, syslog], [[`${warning}\n`], [warning]]);
  log.event(OPENED);
  log.configure({ ...SETTINGS, file: join(folder.path, 'postern.log') });
  log.event(OPENED);
  assert.match(readFileSync(join(folder.path, 'postern.log'), 'utf8'), /opened for/);
});
