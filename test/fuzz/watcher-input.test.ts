/** All that a captured watcher can send to the keeper: lines on its channel, in whatever pieces, and what it writes to its standard error. */

import assert from 'node:assert/strict';
import { isHost, printAddress } from '../../src/core/address.ts';
import { decodeReport, encodeReport, LONGEST_REPORT, type News } from '../../src/core/messages.ts';
import { CagedProcess } from '../../src/keeper/caged-process.ts';
import { Complaints } from '../../src/keeper/complaints.ts';
import { Keeper, type KnockedDoor } from '../../src/keeper/keeper.ts';
import type { ConnectedProgram } from '../../src/platform/process.ts';
import { fuzz, readSamples } from '../support/fuzz.ts';
import { door } from '../support/knocks.ts';
import type { Random } from '../support/random.ts';

const SAMPLES = readSamples('reports.txt');
const WORDS = [
  '"type":',
  '"knock"',
  '"opened"',
  '"advanced"',
  '"source":"192.0.2.7"',
  '"door":0',
  '"revision":1',
  '"stage":32',
  '"__proto__":{}',
  '1e308',
  '-1',
  '9007199254740993',
  '\\u001b',
  '\n',
  '},{',
];
const decoder = new TextDecoder();

fuzz({
  name: '`decodeReport()`',
  samples: SAMPLES,
  words: WORDS,
  check: (bytes) => {
    const line = decoder.decode(bytes);
    const report = decodeReport(line);
    if (report === undefined) return;
    const again = encodeReport(report);
    assert.match(again, /^[\x20-\x7e]*\n$/, 'what comes from the watcher ends up on terminals');
    assert.ok(again.length <= LONGEST_REPORT + 100);
    assert.deepEqual(decodeReport(again.trimEnd()), report);
    const keys = (text: string): number => text.split('":').length;
    assert.ok(keys(again) <= keys(line) + 1, 'nothing is made up');
  },
});

/** A channel that says what it is told to, at once. */
function heardFrom(pieces: Iterable<string>, report: (news: News) => void): 'listened to' | 'killed' {
  let outcome: 'listened to' | 'killed' = 'listened to';
  let say: ((text: string) => void) | undefined;
  const watcher = new CagedProcess<News>({
    decode: decodeReport,
    start: () => {
      const channel = {
        setEncoding: () => {},
        on: (event: string, heard: (text: string) => void) => {
          if (event === 'data') say ??= heard;
        },
        write: () => true,
        destroy: () => {},
      };
      const ended = new Promise<never>(() => {});
      const kill = (): void => {
        outcome = 'killed';
      };
      return { pid: 1, channel, ended, kill } as unknown as ConnectedProgram;
    },
    report,
    started: () => {},
    died: () => {},
    monotonicNow: () => 0,
    after: () => () => {},
  });
  watcher.start();
  for (const piece of pieces) say?.(piece);
  return outcome;
}

function* inPieces(text: string, random: Random): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const length = 1 + random.below(random.below(4) === 0 ? 3 : 300);
    yield text.slice(at, at + length);
    at += length;
  }
}

const DOORS: readonly KnockedDoor[] = [door('7000,8000', { name: 'ssh' }), door('7000', { name: 'web' })].map(
  (knock) => ({ name: knock.name, knock }),
);

function keeperOf(opened: (door: string, source: string) => void, told: () => void): Keeper<KnockedDoor> {
  const keeper = new Keeper<KnockedDoor>(
    {
      tell: told,
      open: ({ name }, source) => {
        assert.ok(isHost(source), printAddress(source));
        opened(name, printAddress(source));
      },
      send: () => {},
      sockets: undefined,
      addresses: () => 'any',
      publicPorts: () => [],
      spendOneTime: () => assert.fail('no door is one-time'),
      monotonicNow: () => 0,
      ended: () => {},
    },
    { ipv6: true, packets: true },
  );
  keeper.configure(DOORS);
  return keeper;
}

/** What the keeper has to make of a text, said the obvious way. */
function expected(text: string): { readonly opened: readonly string[]; readonly outcome: 'listened to' | 'killed' } {
  const opened: string[] = [];
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  for (const line of lines) {
    const report = decodeReport(line);
    if (report === undefined) return { opened, outcome: 'killed' };
    if (report.type !== 'knock' || report.event.type !== 'opened' || report.revision !== 1) continue;
    const name = DOORS[report.event.door]?.name;
    if (name !== undefined && isHost(report.event.source)) opened.push(`${name} ${printAddress(report.event.source)}`);
  }
  return { opened, outcome: rest.length > LONGEST_REPORT ? 'killed' : 'listened to' };
}

fuzz({
  name: 'the keeper, whatever its watcher sends',
  samples: SAMPLES,
  words: WORDS,
  check: (bytes, _, random) => {
    const text = decoder.decode(bytes);
    const opened: string[] = [];
    const keeper = keeperOf(
      (name, source) => void opened.push(`${name} ${source}`),
      () => {},
    );
    const outcome = heardFrom(inPieces(text, random), (news) => keeper.hear(news));
    assert.deepEqual({ opened, outcome }, expected(text));
  },
  large: [
    {
      name: 'reports without end',
      sizes: [20_000, 320_000],
      build: (size) => new TextEncoder().encode('{"type":"failed","reason":"x"}\n'.repeat(size / 31)),
      read: (bytes) => {
        let count = 0;
        heardFrom([decoder.decode(bytes)], () => {
          count += 1;
        });
        return count;
      },
    },
    {
      name: 'a line without end',
      sizes: [20_000, 320_000],
      build: (size) => new Uint8Array(size).fill(0x20),
      read: (bytes) => heardFrom(decoder.decode(bytes).match(/.{1,16}/g) ?? [], () => {}),
    },
  ],
});

/** The lines that the log is told, of one watcher. */
function complaints(pieces: Iterable<string>): readonly string[] {
  const said: string[] = [];
  const heard = new Map<string, (text: string) => void>();
  let destroyed = false;
  const stream = {
    setEncoding: () => {},
    on: (event: string, call: (text: string) => void) => void heard.set(event, call),
    destroy: () => {
      destroyed = true;
    },
  };
  new Complaints({ say: (line) => void said.push(line), monotonicNow: () => 0 }).read(stream as never);
  for (const piece of pieces) if (!destroyed) heard.get('data')?.(piece);
  heard.get('close')?.('');
  return said;
}

const LATIN1 = new TextDecoder('latin1');

fuzz({
  name: 'the complaints of a watcher',
  samples: readSamples('complaints.txt'),
  check: (bytes, _, random) => {
    const lines = complaints(inPieces(LATIN1.decode(bytes), random));
    assert.ok(lines.length <= 30);
    for (const line of lines) assert.match(line, /^[\x20-\x7e]{1,500}$/);
  },
  large: [
    {
      name: 'a line without end, a byte at a time',
      sizes: [4000, 64_000],
      build: (size) => new Uint8Array(size).fill(0x78),
      read: (bytes) => complaints(LATIN1.decode(bytes)),
    },
  ],
});
