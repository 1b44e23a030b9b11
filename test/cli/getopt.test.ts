/**
 * getopt against its originals: by table, and by running knock, knockd and util-linux's getopt(1), all of which call glibc's getopt_long.
 * The real programs are only given command lines that end before they do anything.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { getopt, type OptionSpec, type ParsedArguments } from '../../src/cli/getopt.ts';

const KNOCK: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v' },
  { long: 'udp', short: 'u' },
  { long: 'delay', short: 'd', argument: true },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
  { long: 'ipv4', short: '4' },
  { long: 'ipv6', short: '6' },
];

const KNOCKD: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v' },
  { long: 'debug', short: 'D' },
  { long: 'daemon', short: 'd' },
  { long: 'lookup', short: 'l' },
  { long: 'interface', short: 'i', argument: true },
  { long: 'config', short: 'c', argument: true },
  { long: 'help', short: 'h' },
  { long: 'pidfile', short: 'p', argument: true },
  { long: 'logfile', short: 'g', argument: true },
  { long: 'only-ip-v4', short: '4' },
  { long: 'version', short: 'V' },
];

/** An option as `name` or `name=value`, a mistake as its message without the program. */
function brief(parsed: ParsedArguments): { options: readonly string[]; operands: readonly string[] } {
  const options = parsed.options.map((item) =>
    'error' in item ? item.error : item.value === undefined ? item.option : `${item.option}=${item.value}`,
  );
  return { options, operands: parsed.operands };
}

const CASES: readonly (readonly [string, readonly string[], readonly string[], readonly string[]])[] = [
  ['takes short and long options', ['-v', '--udp', 'h', '1'], ['verbose', 'udp'], ['h', '1']],
  ['takes bundles', ['-vu4', 'h'], ['verbose', 'udp', 'ipv4'], ['h']],
  ['takes an argument from the same word', ['-d5', '-vd7'], ['delay=5', 'verbose', 'delay=7'], []],
  [
    'takes an argument from the next word, whatever it looks like',
    ['-d', '-V', '--delay', '--'],
    ['delay=-V', 'delay=--'],
    [],
  ],
  [
    'takes an argument after =, also an empty one',
    ['--delay=5', '--delay=', '-d', ''],
    ['delay=5', 'delay=', 'delay='],
    [],
  ],
  ['completes abbreviations', ['--verb', '--vers', '--de', '3'], ['verbose', 'version', 'delay=3'], []],
  ['finds options after operands', ['h', '7', '-u', '8'], ['udp'], ['h', '7', '8']],
  ['ends options at --', ['-v', 'h', '--', '-u', '--', 'x'], ['verbose'], ['h', '-u', '--', 'x']],
  ['takes - as an operand', ['-', '-v'], ['verbose'], ['-']],
  [
    'names a letter it does not know and goes on',
    ['-xv', '-:'],
    ["p: invalid option -- 'x'", 'verbose', "p: invalid option -- ':'"],
    [],
  ],
  [
    'names an option it does not know',
    ['--foo=1', '---'],
    ["p: unrecognized option '--foo=1'", "p: unrecognized option '---'"],
    [],
  ],
  ['names a letter without its argument', ['-vd'], ['verbose', "p: option requires an argument -- 'd'"], []],
  ['names an option without its argument', ['--del'], ["p: option '--delay' requires an argument"], []],
  ['refuses an argument where none belongs', ['--ud=1'], ["p: option '--udp' doesn't allow an argument"], []],
  [
    'lists what an abbreviation may mean',
    ['--ve=1', '--ipv'],
    [
      "p: option '--ve=1' is ambiguous; possibilities: '--verbose' '--version'",
      "p: option '--ipv' is ambiguous; possibilities: '--ipv4' '--ipv6'",
    ],
    [],
  ],
];

for (const [behaviour, argv, options, operands] of CASES) {
  test(`getopt() ${behaviour}`, () => {
    assert.deepEqual(brief(getopt(argv, KNOCK, 'p')), { options, operands });
  });
}

test('getopt() prefers the exact name over longer ones', () => {
  const specs = [{ long: 'stop' }, { long: 'stopwatch' }] as const;
  assert.deepEqual(brief(getopt(['--stop', '--stopw'], specs, 'p')).options, ['stop', 'stopwatch']);
});

test('getopt() leaves options after the first operand alone when asked to', () => {
  assert.deepEqual(brief(getopt(['-v', 'h', '-u'], KNOCK, 'p', 'options-first')), {
    options: ['verbose'],
    operands: ['h', '-u'],
  });
});

function missing(...files: string[]): string | false {
  const absent = files.filter((file) => !existsSync(file));
  return absent.length > 0 && `not installed: ${absent.join(', ')}`;
}

/** The first message, which is the one that knock and knockd stop at. */
function firstError(argv: readonly string[], specs: readonly OptionSpec[], program: string): string {
  const error = getopt(argv, specs, program).options.find((item) => 'error' in item);
  return error && 'error' in error ? `${error.error}\n` : '';
}

const REAL_CASES: readonly (readonly [string, readonly OptionSpec[], readonly (readonly string[])[]])[] = [
  [
    '/usr/bin/knock',
    KNOCK,
    [
      ['-x'],
      ['-vx'],
      ['-d'],
      ['--delay'],
      ['--de'],
      ['--v'],
      ['--ve=3'],
      ['--ver'],
      ['--ipv'],
      ['--=x'],
      ['---'],
    ].concat([
      ['--udp=3'],
      ['--foo'],
      ['--foo=bar'],
      ['-:'],
      ['-1'],
      ['h', '-x'],
      ['h', '--bar', '7'],
      ['-V', '-x'],
      ['-h', '--foo'],
      ['-d', '-x'],
      ['--', '-x'],
      ['-'],
    ]),
  ],
  [
    '/usr/sbin/knockd',
    KNOCKD,
    [
      ['-x'],
      ['-i'],
      ['-dDx'],
      ['--interface'],
      ['--c'],
      ['--p'],
      ['--d'],
      ['--l'],
      ['--lo'],
      ['--v'],
      ['--ver'],
    ].concat([
      ['--=x'],
      ['--version=3'],
      ['--only-ip-v5'],
      ['--only-ip-v4=', '-V'],
      ['-4V'],
      ['a', 'b', '-Vx'],
      ['-ieth0', '-h'],
      ['--help', '-x'],
    ]),
  ],
];

for (const [program, specs, vectors] of REAL_CASES) {
  test(`getopt() complains exactly as ${program} does`, { skip: missing(program) }, () => {
    for (const argv of vectors) {
      const { options } = getopt(argv, specs, program);
      // knock and knockd stop at -V and -h.
      const end = options.findIndex(
        (item) => 'option' in item && (item.option === 'version' || item.option === 'help'),
      );
      const stopped = end >= 0 && options.slice(0, end).every((item) => 'option' in item);
      const expected = stopped ? '' : firstError(argv, specs, program);
      if (program.endsWith('knockd') && !stopped && expected === '') assert.fail(`${argv} would start the daemon`);
      assert.equal(spawnSync(program, argv, { encoding: 'utf8' }).stderr, expected, argv.join(' '));
    }
  });
}

const UTIL_LINUX = spawnSync('getopt', ['-T']).status === 4;

test('getopt() agrees with getopt(1) on any command line', {
  skip: !UTIL_LINUX && 'getopt(1) of util-linux is not installed',
}, () => {
  const short = KNOCK.map((spec) => `${spec.short}${spec.argument ? ':' : ''}`).join('');
  const long = KNOCK.map((spec) => `${spec.long}${spec.argument ? ':' : ''}`).join(',');
  const word = fc.oneof(
    fc.constantFrom(
      '-',
      '--',
      '',
      'h',
      '7000',
      '--delay',
      '-d',
      '--ver',
      '--vers',
      '--ud=',
      '--de=5',
      '--ipv4=1',
      '-dd',
    ),
    fc.array(fc.constantFrom(...'vudhV46x-'), { maxLength: 4 }).map((letters) => `-${letters.join('')}`),
    fc
      .tuple(fc.constantFrom(...KNOCK.map((spec) => spec.long)), fc.nat(8), fc.constantFrom('', '=', '=x'))
      .map(([name, length, tail]) => `--${name.slice(0, length)}${tail}`),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 5 }), (argv) => {
      const run = spawnSync('getopt', ['-n', 'p', '-o', short, '-l', long, '--', ...argv], {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C' },
      });
      const { options, operands } = getopt(argv, KNOCK, 'p');
      const errors = options.flatMap((item) => ('error' in item ? [`${item.error}\n`] : []));
      assert.equal(run.stderr, errors.join(''));
      const ours = options.flatMap((item) => {
        if ('error' in item) return [];
        return item.value === undefined ? [item.option] : [item.option, `'${item.value}'`];
      });
      assert.deepEqual(normalWords(run.stdout), [...ours, '--', ...operands.map((operand) => `'${operand}'`)]);
    }),
    { numRuns: 150 },
  );
});

/** The words of getopt(1)'s output: options under their long names, values and operands in quotes (no word here has a quote in it). */
function normalWords(output: string): string[] {
  const words = output.match(/'[^']*'|\S+/g) ?? [];
  return words.map((word) => {
    if (word.startsWith("'") || word === '--') return word;
    return word.startsWith('--') ? word.slice(2) : (KNOCK.find((spec) => word === `-${spec.short}`)?.long ?? word);
  });
}
