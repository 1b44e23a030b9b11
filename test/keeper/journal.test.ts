import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { getSystemErrorMap } from 'node:util';
import { Journal, reasonOf } from '../../src/keeper/journal.ts';
import { describeErrno } from '../../src/platform/libc.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** A moment in local time, which is what the log is written in. */
const NOON = new Date(2026, 10, 5, 12, 3, 59).getTime();

function stage(options: { readonly verbose?: boolean; readonly debug?: boolean } = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const syslog: string[] = [];
  let open = 0;
  const journal = new Journal({
    stdout: (text) => out.push(text),
    stderr: (text) => err.push(text),
    wallNow: () => NOON,
    openSyslog: () => {
      open += 1;
      return {
        write: (message) => syslog.push(message),
        close: () => {
          open -= 1;
        },
      };
    },
  });
  journal.show({ verbose: options.verbose ?? false, debug: options.debug ?? false });
  return { journal, out, err, syslog, open: () => open };
}

test('A log line has the local time to the minute, and a spaced one an empty line after it', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'log');
  const { journal, syslog } = stage();
  journal.openFile(file);
  journal.useSyslog(true);
  journal.log('starting up, listening on eth0');
  journal.log('A: running command: true', true);
  assert.equal(
    readFileSync(file, 'utf8'),
    '[2026-11-05 12:03] starting up, listening on eth0\n[2026-11-05 12:03] A: running command: true\n\n',
  );
  assert.deepEqual(syslog, ['starting up, listening on eth0', 'A: running command: true\n']);
});

test('Events go to standard output with `-v` alone, debugging with `-D` alone, errors always to standard error', () => {
  for (const [verbose, debug] of [
    [false, false],
    [true, false],
    [false, true],
  ] as const) {
    const { journal, out, err, syslog } = stage({ verbose, debug });
    journal.useSyslog(true);
    journal.event('event', true);
    journal.say('say');
    journal.debug('debug');
    journal.error('error');
    assert.deepEqual(out, [...(verbose ? ['event\n', 'say\n'] : []), ...(debug ? ['debug\n'] : [])]);
    assert.deepEqual(err, ['error\n']);
    assert.deepEqual(syslog, ['event\n', 'error']);
  }
});

test('A line is cut at 1,023 bytes, and not inside a character', () => {
  const { journal, syslog } = stage();
  journal.useSyslog(true);
  journal.log('x'.repeat(2000));
  journal.log(`x${'é'.repeat(1000)}`);
  journal.log(`${'é'.repeat(1000)}`, true);
  assert.deepEqual(syslog, ['x'.repeat(1023), `x${'é'.repeat(511)}`, `${'é'.repeat(511)}\n`]);
});

test('A file that cannot be opened is a warning, and lines go on to the rest', () => {
  const { journal, err, syslog } = stage();
  journal.useSyslog(true);
  journal.openFile('/nonexistent/folder/log');
  journal.log('line');
  assert.deepEqual(err, ['warning: cannot open logfile: No such file or directory\n']);
  assert.deepEqual(syslog, ['line']);
});

test('Another file is appended to from then on, and none is none', () => {
  using folder = temporaryFolder();
  const [first, second] = [join(folder.path, 'first'), join(folder.path, 'second')] as const;
  const { journal } = stage();
  for (const file of [first, second, first, undefined]) {
    journal.openFile(file);
    journal.log('line');
  }
  assert.equal(readFileSync(first, 'utf8').split('\n').length, 3);
  assert.equal(readFileSync(second, 'utf8').split('\n').length, 2);
});

test('A disk that is full costs lines, not the daemon', () => {
  const { journal, syslog } = stage();
  journal.useSyslog(true);
  journal.openFile('/dev/full');
  journal.log('line');
  assert.deepEqual(syslog, ['line']);
});

test('Syslog is opened once and closed when it is not wanted any more', () => {
  const { journal, syslog, open } = stage();
  journal.useSyslog(true);
  journal.useSyslog(true);
  assert.equal(open(), 1);
  journal.useSyslog(false);
  assert.equal(open(), 0);
  journal.log('line');
  assert.deepEqual(syslog, []);
});

test('`reasonOf()` says what strerror(3) says', () => {
  try {
    readFileSync('/nonexistent');
    assert.fail();
  } catch (error) {
    assert.equal(reasonOf(error), 'No such file or directory');
  }
  assert.equal(reasonOf(new Error('something else')), 'Something else');
  assert.equal(reasonOf('text'), 'text');
});

test('`reasonOf()` has the C library’s words for every error that Node names, and for a full quota', {
  skip: process.platform !== 'linux' && 'the words are glibc’s',
}, () => {
  const LAST_ERRNO = 133;
  const EDQUOT = 122;
  const ESTALE = 116;
  const named = [...getSystemErrorMap()].filter(([errno]) => errno >= -LAST_ERRNO);
  const unnamed = [EDQUOT, ESTALE].map((errno) => {
    const words = `Unknown system error -${errno}`;
    return [-errno, [words, words]] as const;
  });
  assert.ok(named.length > 60);
  for (const [errno, [code, words]] of [...named, ...unnamed]) {
    assert.equal(reasonOf(new Error(`${code}: ${words}, open '/var/log/knockd.log'`)), describeErrno(-errno));
  }
});

test('`reasonOf()` says why a log file that is a folder cannot be opened', () => {
  using folder = temporaryFolder();
  const { journal, err } = stage();
  journal.openFile(folder.path);
  assert.deepEqual(err, ['warning: cannot open logfile: Is a directory\n']);
});
