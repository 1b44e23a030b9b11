import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type KnockdConfig, type KnockdConfResult, parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { printExpressions } from '../../src/config/knockd-expression.ts';
import { type Address, parseAddress } from '../../src/core/address.ts';
import { readGrammarCases, readSessions, SAMPLES_MISSING, type Sample, shows } from '../support/knockd-samples.ts';

/** What the one-time files held that a session does not show at its start. */
const ONE_TIME: Record<string, string> = {
  '15b-one-time-exhausted-at-start.seqs': '#7000,8000\n',
  '15e-one-time-plus-other-door.seqs': ' 7000,8000\n',
  '15f-one-time-ipv6.seqs': ' 7000,8000\n 7100,8100\n 7200,8200\n',
  '15g-one-time-attempt-survives-sequence-change.seqs': ' 7000,8000\n 7100,8100\n 7200,8200\n',
  '15h-one-time-next-sequence-longer.seqs': ' 7000,8000\n 7100,7200,7300,7400\n 7200,8200\n',
};

function parse(sample: Sample, name?: string): KnockdConfResult {
  const readFile = (path: string): Uint8Array => {
    const bytes = ONE_TIME[path] ?? (path.endsWith('.seqs') ? sample.files[0] : undefined);
    if (bytes === undefined) throw new Error('No such file or directory');
    return Buffer.from(bytes, 'latin1');
  };
  const conf = Buffer.from(sample.conf, 'latin1');
  return parseKnockdConf(conf, { file: sample.name, readFile, ...(name && { interface: name }) });
}

function assertShown(recorded: readonly string[], lines: readonly string[]): void {
  const same = recorded.length === lines.length && recorded.every((line, i) => shows(line, lines[i] ?? ''));
  if (!same) assert.deepEqual(lines, recorded);
}

function expressedConfig(result: KnockdConfResult): KnockdConfig | undefined {
  return result.ok ? result.config : result.unusable;
}

const address = (text: string): Address => parseAddress(text) ?? assert.fail(text);
const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

describe('parseKnockdConf() on the recorded grammar cases', { skip: SAMPLES_MISSING }, () => {
  const cases = readGrammarCases();
  test('all of them are there', { skip: SAMPLES_MISSING }, () => assert.equal(cases.length, 65));
  for (const sample of cases) {
    test(sample.name, () => {
      const free = ['Interface in config (no -i), duplicates', 'default interface eth0 absent'].includes(sample.name);
      const result = parse(sample, free ? undefined : 'kds0');
      const printed = sample.printed.map(text);
      const config = printed.filter((line) => /^(config|error): /.test(line));
      assertShown(config, [...result.trace, ...result.stderr]);
      const expressions = printed.filter((line) => line.startsWith('adding pcap expression'));
      const local = { 'interface lo': ['127.0.0.1', '::1'], 'interface any': [] }[sample.name] ?? ['10.77.1.1'];
      const started = result.ok && !sample.name.includes('absent');
      assertShown(expressions, started ? printExpressions(result.config.doors, local.map(address)) : []);
      const rest = printed.filter((line) => !config.includes(line) && !expressions.includes(line));
      for (const line of rest) assert.match(line, /^(could not open|warning: cannot open logfile|ppp interface)/);
    });
  }
});

describe('parseKnockdConf() on the configurations of the recorded sessions', { skip: SAMPLES_MISSING }, () => {
  const sessions = readSessions();
  test('all of them are there', { skip: SAMPLES_MISSING }, () => assert.equal(sessions.length, 78));
  for (const sample of sessions) {
    test(sample.name, () => {
      const result = parse(sample, / -i (\S+)/.exec(sample.command)?.[1]);
      const debug = sample.command.includes('-D');
      const opened = sample.printed.findIndex((line) =>
        /interface detected|^could not open|^listening|^-----/.test(line),
      );
      const start = opened === -1 ? sample.printed : sample.printed.slice(0, opened);
      const early = result.ok || result.stoppedAt === 'filter' ? [] : result.stderr;
      const said = new Set([...(debug ? result.trace : []), ...early]);
      assert.deepEqual(new Set(start.map(text).map((line) => [...said].find((own) => shows(line, own)) ?? line)), said);
      if (opened === -1 || !debug) return;
      const setup = sample.printed.slice(opened).map(text);
      const listening = setup.findIndex((line) => !/interface detected|^local IP: |^adding pcap expression/.test(line));
      const shown = listening === -1 ? setup : setup.slice(0, listening);
      const local = shown.filter((line) => line.startsWith('local IP: ')).map((line) => address(line.slice(10)));
      const expressions = shown.filter((line) => line.startsWith('adding pcap'));
      const config = expressedConfig(result);
      if (!/^(could not open|error:)/.test(setup[0] ?? '')) {
        assertShown(expressions, printExpressions(config?.doors ?? [], local));
      }
      const refusal = setup[listening]?.startsWith('pcap_compile') ? setup[listening] : undefined;
      assert.equal(result.ok ? undefined : result.knockdError, refusal);
    });
  }
});
