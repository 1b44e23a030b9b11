import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type KnockdConfResult, parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { printProblem } from '../../src/config/problem.ts';

const NO_FILE = 'No such file or directory';

function parse(conf: string | Uint8Array, sequences?: string): KnockdConfResult {
  const readFile = (path: string): Uint8Array => {
    if (path !== 's' || sequences === undefined) throw new Error(NO_FILE);
    return Buffer.from(sequences, 'latin1');
  };
  return parseKnockdConf(conf, { file: 'k', interface: 'nope0', readFile });
}

function assertSound(result: KnockdConfResult): void {
  const errors = result.problems.filter((problem) => problem.severity === 'error');
  assert.equal(result.ok, errors.length === 0, 'knockd stops exactly when there is an error');
  if (!result.ok) assert.equal(result.knockdError, result.stderr.at(-1));
  if (result.ok)
    for (const { knock } of result.config.doors) assert.ok(knock.steps.length >= 1 && knock.steps.length <= 32);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not get through
  for (const problem of result.problems) assert.doesNotMatch(printProblem(problem).replace('\n', ''), /[\x00-\x1f]/);
}

const item = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 65535 }).map(String) },
  fc.constantFrom(
    '0',
    '-1',
    '65536',
    'abc',
    '',
    '7-9',
    '0x10',
    ' 5 ',
    '4294967297',
    '99999999999999999999',
    '+3',
    '1 2',
    '\xe9',
    '5#',
  ),
);
const protocol = fc.oneof(
  { weight: 8, arbitrary: fc.constant('') },
  fc.constantFrom(':tcp', ':udp', ':UDP', ' : tcp ', ':icmp', ':', '::tcp', ':udp:x', ':tcp x'),
);
const steps = fc
  .array(fc.tuple(item, protocol), { minLength: 1, maxLength: 5 })
  .map((items) => items.map((parts) => parts.join('')).join(','));
const anyCase = (keys: string[]) =>
  fc.tuple(fc.constantFrom(...keys), fc.constantFrom(' = ', '=', '\t=\t'), fc.boolean()).map(([key, equals, upper]) => {
    return (upper ? key.toUpperCase() : key) + equals;
  });
const directive = fc
  .oneof(
    fc.tuple(anyCase(['sequence']), steps),
    fc.tuple(
      anyCase(['seq_timeout', 'timeout', 'cmd_timeout']),
      fc.constantFrom('5', '-3', 'abc', '', '5s', '99999999999', ' 7 # c'),
    ),
    fc.tuple(
      anyCase(['tcpflags']),
      fc
        .array(fc.constantFrom('syn', '!ack', 'FIN', '!RST', 'psh', 'urg', 'ece', '', ' syn', '!!syn'), {
          minLength: 1,
          maxLength: 3,
        })
        .map(String),
    ),
    fc.tuple(
      anyCase(['command', 'start_command', 'command_6', 'stop_command', 'stop_command_6']),
      fc.constantFrom('x', '', 'a = b', 'echo %IP% # c', '\xe9\0z', 'x'.repeat(4080), 'y'.repeat(4100)),
    ),
    fc.tuple(anyCase(['one_time_sequences']), fc.constantFrom('s', 's', 's', 'nowhere', '')),
    fc.tuple(anyCase(['logfile', 'pidfile', 'interface', 'foo']), fc.constantFrom('x', '')),
  )
  .map((parts) => parts.join(''));
const line = fc.oneof(
  { weight: 8, arbitrary: directive },
  { weight: 2, arbitrary: fc.constantFrom('[A]', '[B]', '[options]', `[${'n'.repeat(300)}]`) },
  fc.constantFrom('', '# c', 'UseSyslog', ' usesyslog ', '\t'),
  fc.constantFrom(
    '[]',
    '[A',
    '[A] # c',
    '[A]\0',
    '; c',
    'foo',
    '=',
    '= x',
    `#${'x'.repeat(4100)}`,
    '\0foo',
    '[Options]',
    '\xef\xbb\xbf[A]',
  ),
);
const configuration = fc
  .tuple(
    fc.constantFrom('[A]', '[A]', '[options]', ''),
    fc.array(line, { maxLength: 8 }),
    fc.constantFrom('\n', '\r\n'),
  )
  .map(([first, lines, end]) => [first, ...lines, ''].join(end));
const oneTimeFile = fc
  .array(fc.oneof(steps, fc.constantFrom('', '# c', ' #7', '\t')), { maxLength: 4 })
  .map((lines) => lines.join('\n'));

describe('parseKnockdConf()', () => {
  test('never throws, whatever the bytes are', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => assertSound(parse(bytes))));
  });

  test('never throws, whatever the text is', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 120 }), (text) => assertSound(parse(text))));
  });

  test('never throws on what looks like a configuration, and stops exactly at errors', () => {
    fc.assert(
      fc.property(configuration, oneTimeFile, (conf, sequences) => {
        assertSound(parse(Buffer.from(conf, 'latin1'), sequences));
      }),
      { numRuns: 1000 },
    );
  });

  test('is not troubled by a file that reads as garbage where a one-time file was meant', () => {
    const conf = '[A]\none_time_sequences = s\n';
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (sequences) => assertSound(parse(conf, sequences))));
  });

  const shapes: [string, (size: number) => string][] = [
    ['equal doors', (size) => '[A]\nsequence = 7000,8000,9000\ncommand = x\n'.repeat(size)],
    [
      'doors that begin alike',
      (size) => Array.from({ length: size }, (_, i) => `[${i}]\nsequence = 7000,${i}\n`).join(''),
    ],
    ['lines that are all wrong', (size) => `[A]\n${'sequenz = 1\n'.repeat(size)}`],
    ['one endless line', (size) => `[A]\nsequence = ${'7,'.repeat(size * 10)}`],
    ['one endless line of digits', (size) => `[A]\nsequence = ${'7'.repeat(size * 10)}`],
    ['one endless key', (size) => `[A]\n${'sequence_'.repeat(size)} = 1`],
  ];
  for (const [name, shape] of shapes) {
    test(`takes time in proportion to the file: ${name}`, () => {
      const [short, long] = [200, 3200];
      const time = (size: number): number => {
        const conf = shape(size);
        const start = performance.now();
        parse(conf);
        return Math.max(performance.now() - start, 0.05);
      };
      const best = (size: number): number => Math.min(time(size), time(size), time(size));
      // A busy machine can spoil a measurement, but not all of them; what is truly quadratic fails every one.
      let growth = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < 5 && growth > 1.6; attempt++) {
        growth = Math.log(best(long) / best(short)) / Math.log(long / short);
      }
      assert.ok(growth <= 1.6, `time grows as n^${growth.toFixed(2)}`);
    });
  }
});

const missing = spawnSync('knockd', ['-V']).status === 0 ? false : 'knockd is not installed';

describe("parseKnockdConf() beside Debian's knockd", { skip: missing }, () => {
  test('says the same about generated configurations', { skip: missing }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-knockd-conf-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const say = (conf: string, sequences: string): { stdout: string[]; stderr: string[]; usage: boolean } => {
      writeFileSync(join(folder, 'k'), conf, 'latin1');
      writeFileSync(join(folder, 's'), sequences, 'latin1');
      // An interface that does not exist ends knockd right after the configuration.
      const { stdout, stderr } = spawnSync('knockd', ['-D', '-i', 'nope0', '-c', 'k'], {
        cwd: folder,
        encoding: 'utf8',
      });
      const [said = '', usage] = stdout.split('usage: ', 2);
      return {
        stdout: said.split('\n').slice(0, -1),
        stderr: stderr
          .split('\n')
          .slice(0, -1)
          .filter((text) => !text.startsWith('could not open nope0')),
        usage: usage !== undefined,
      };
    };
    fc.assert(
      fc.property(configuration, oneTimeFile, (conf, sequences) => {
        const ours = parse(Buffer.from(conf, 'latin1'), sequences);
        const usage = !ours.ok && ours.stoppedAt === 'config';
        assert.deepEqual({ stdout: ours.trace, stderr: ours.stderr, usage }, say(conf, sequences));
      }),
      { numRuns: 150 },
    );
  });
});
