/** Entries of the systemd journal: what is sent, and that a journal which is gone or new is no trouble. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeJournald, leadsToJournal, openJournald } from '../../src/platform/journald.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const NO_PERL = spawnSync('perl', ['-e', '1']).status !== 0;
const skip =
  process.platform !== 'linux' ? 'native journal entries are for Linux' : NO_PERL && 'needs perl, which listens here';

/** As the journal reads an entry (systemd.io/JOURNAL_NATIVE_PROTOCOL). */
function decode(bytes: Uint8Array): readonly (readonly [string, string])[] {
  const fields: [string, string][] = [];
  const text = (from: number, to: number): string => new TextDecoder().decode(bytes.subarray(from, to));
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    assert.notEqual(end, -1, 'a line without an end');
    const line = text(at, end);
    const equals = line.indexOf('=');
    if (equals > 0) {
      fields.push([line.slice(0, equals), line.slice(equals + 1)]);
      at = end + 1;
      continue;
    }
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset + end + 1, 8).getBigUint64(0, true));
    const begin = end + 9;
    fields.push([line, text(begin, begin + length)]);
    assert.equal(bytes[begin + length], 10, 'a value without an end');
    at = begin + length + 1;
  }
  return fields;
}

/** Says `ready`, then each datagram in hexadecimal. Node has no datagram sockets of the local kind. */
const LISTENER =
  '$|=1; socket(S,PF_UNIX,SOCK_DGRAM,0) or die; bind(S,sockaddr_un($ARGV[0])) or die "bind: $!"; print "ready\\n"; while (defined recv(S,$m,65536,0)) { print unpack("H*",$m), "\\n" }';

interface Listener {
  readonly child: ChildProcess;
  readonly next: () => Promise<string>;
}

async function listen(path: string): Promise<Listener> {
  rmSync(path, { force: true });
  const child = spawn('perl', ['-MSocket', '-e', LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  assert.equal(await next(), 'ready');
  return { child, next };
}

test('A descriptor leads to the journal when it is the one that JOURNAL_STREAM names', () => {
  using folder = temporaryFolder();
  const fd = openSync(join(folder.path, 'stream'), 'w');
  const { dev, ino } = fstatSync(fd);
  assert.equal(leadsToJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` }), true);
  assert.equal(leadsToJournal(fd, { JOURNAL_STREAM: `${dev}:${ino + 1}` }), false);
  assert.equal(leadsToJournal(fd, {}), false);
  closeSync(fd);
  assert.equal(leadsToJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` }), false);
});

test('Fields are lines, and values with a newline go in the binary form', () => {
  assert.deepEqual(
    Buffer.from(encodeJournald({ MESSAGE: 'é', POSTERN_DOOR: undefined, POSTERN_DETAIL: 'a\nb' })),
    Buffer.from('MESSAGE=é\nPOSTERN_DETAIL\n\x03\0\0\0\0\0\0\0a\nb\n'),
  );
});

test('No value passes for another field', () => {
  const value = fc
    .array(fc.oneof(fc.constantFrom('\n', '=', 'PRIORITY=0', '\0'), fc.string()))
    .map((all) => all.join(''));
  const property = fc.property(value, value, (one, other) => {
    const fields = { MESSAGE: one.toWellFormed(), POSTERN_DETAIL: other.toWellFormed() };
    assert.deepEqual(decode(encodeJournald(fields)), Object.entries(fields));
  });
  fc.assert(property);
});

test('Entries arrive, and again once the journal has restarted; without one they are refused', { skip }, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'socket');
  const journald = openJournald(path);
  assert.equal(journald.write({ MESSAGE: 'nobody' }), false);
  for (const message of ['first', 'second\nline']) {
    const listener = await listen(path);
    assert.equal(journald.write({ MESSAGE: message, PRIORITY: '6' }), true);
    assert.deepEqual(decode(new Uint8Array(Buffer.from(await listener.next(), 'hex'))), [
      ['MESSAGE', message],
      ['PRIORITY', '6'],
    ]);
    listener.child.kill();
    await once(listener.child, 'exit');
  }
  assert.equal(journald.write({ MESSAGE: 'gone' }), false);
  journald.close();
});
