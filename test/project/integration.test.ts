/** The files of integration/ for other people's programs; test/e2e/fail2ban.test.ts has those for fail2ban. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { HISTORY_WORDS } from '../../src/control/wire-event.ts';
import type { HistoryEvent, HistoryType } from '../../src/core/history.ts';
import { RESERVED_NAMES } from '../../src/core/policy.ts';
import { printEvent, printEventJson } from '../../src/keeper/history-words.ts';
import { findProgram } from '../support/running.ts';
import { readYaml } from '../support/small-yaml.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'integration');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

interface Static {
  readonly meta?: string;
  readonly target?: string;
  readonly value?: string;
  readonly expression?: string;
}

interface Parser {
  readonly onsuccess: string;
  readonly name: string;
  readonly filter: string;
  readonly pattern_syntax: Readonly<Record<string, string>>;
  readonly nodes: readonly {
    readonly grok: { readonly pattern: string; readonly apply_on: string; readonly statics: readonly Static[] };
  }[];
  readonly statics: readonly Static[];
}

interface Scenario {
  readonly type: string;
  readonly filter: string;
  readonly groupby: string;
  readonly capacity: number;
  readonly labels: Readonly<Record<string, unknown>>;
}

const parser = readYaml(read('crowdsec/parsers/s01-parse/postern-logs.yaml')) as unknown as Parser;
const scenario = readYaml(read('crowdsec/scenarios/postern-strangers.yaml')) as unknown as Scenario;

/** Of CrowdSec's own patterns, those that ours are made of. */
const PATTERNS: Readonly<Record<string, string>> = {
  IP: '[0-9a-fA-F:.]+',
  TIMESTAMP_ISO8601: '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z',
};

function expand(pattern: string): string {
  return pattern.replaceAll(/%\{(\w+)(?::(\w+))?\}/g, (_, name: string, field?: string) => {
    const inner = parser.pattern_syntax[name] ?? PATTERNS[name];
    assert.ok(inner !== undefined, name);
    return field === undefined ? `(?:${expand(inner)})` : `(?<${field}>${expand(inner)})`;
  });
}

/** What CrowdSec makes of a message: the kind and the source; nothing of what it does not know. */
function parse(message: string): readonly [string, string] | undefined {
  const refused = /message matches '([^']+)'/.exec(parser.filter)![1]!;
  if (new RegExp(refused).test(message)) return undefined;
  for (const { grok } of parser.nodes) {
    const groups = new RegExp(expand(grok.pattern)).exec(message)?.groups;
    if (!groups) continue;
    const type = grok.statics.find(({ meta }) => meta === 'log_type')!;
    assert.ok(type.value !== undefined || type.expression === "'postern_' + evt.Parsed.event");
    return [type.value ?? `postern_${groups.event}`, groups.source_ip!];
  }
  return undefined;
}

const OFFENCES: readonly HistoryType[] = ['trapped', 'refused', 'scanned', 'failed'];

test('CrowdSec’s parser finds who did what no honest client does, and nobody else', () => {
  const time = Date.parse('2030-01-31T12:00:00Z');
  for (const type of Object.keys(HISTORY_WORDS) as HistoryType[]) {
    for (const source of ['192.0.2.7', '2001:db8::', '2001:db8::7']) {
      const hasDoor = type !== 'trapped' && type !== 'scanned';
      const event: HistoryEvent = { type, ...(hasDoor && { door: 'ssh' }), source, reason: 'no grant', detail: 'x' };
      const expected = OFFENCES.includes(type) ? [`postern_${type}`, source] : undefined;
      const text = printEvent(event);
      const forms = [text, `${new Date(time).toISOString()} ${text}`, printEventJson(event, { time, id: 7 })];
      for (const form of forms) assert.deepEqual(parse(form), expected, form);
      assert.equal(isIP(source) > 0, true);
      const observed = { ...event, reason: 'observed' };
      if (type === 'refused')
        assert.deepEqual(
          [parse(printEvent(observed)), parse(printEventJson(observed, { time }))],
          [undefined, undefined],
        );
    }
  }
  for (const word of RESERVED_NAMES) {
    for (const stamp of ['', '2030-01-31T12:00:00.000Z ']) {
      assert.equal(parse(`${stamp}${word}: refused 192.0.2.66 (no grant)`), undefined);
    }
  }
});

test('CrowdSec’s files have what theirs have', () => {
  assert.deepEqual([parser.onsuccess, parser.name], ['next_stage', 'postern/postern-logs']);
  assert.ok(
    parser.statics.some(({ meta, expression }) => meta === 'source_ip' && expression === 'evt.Parsed.source_ip'),
  );
  for (const { grok } of parser.nodes) assert.equal(grok.apply_on, 'message');
  for (const type of OFFENCES) assert.ok(scenario.filter.includes(`'postern_${type}'`), type);
  assert.deepEqual(
    [scenario.type, scenario.groupby, scenario.labels.remediation],
    ['leaky', 'evt.Meta.source_ip', true],
  );
  assert.ok(scenario.capacity > 0);
});

test('the filters know every word that no door is called', () => {
  for (const name of ['fail2ban/filter.d/postern.conf', 'crowdsec/parsers/s01-parse/postern-logs.yaml']) {
    assert.ok(
      read(name).includes(`(?:${RESERVED_NAMES.join('|')})`) || read(name).includes(`(${RESERVED_NAMES.join('|')})`),
      name,
    );
  }
});

const skipLogrotate = findProgram('logrotate') === undefined && 'needs logrotate';
test('logrotate takes its file', { skip: skipLogrotate }, () => {
  using temporary = temporaryFolder();
  const file = join(temporary.path, 'postern');
  // It reads only files that nobody else may write.
  writeFileSync(file, read('logrotate.d/postern'), { mode: 0o644 });
  const state = join(temporary.path, 'state');
  const { stderr, status } = spawnSync(findProgram('logrotate')!, ['-d', '-s', state, file], { encoding: 'utf8' });
  assert.doesNotMatch(stderr, /error|unknown|unexpected/i);
  assert.match(stderr, /rotating pattern: \/var\/log\/postern\/\*\.log/);
  assert.match(stderr, /rotating pattern: \/var\/log\/postern\.log/);
  assert.equal(status, 0);
});

const skipRsyslog = findProgram('rsyslogd') === undefined && 'needs rsyslogd';
test('rsyslog takes its file', { skip: skipRsyslog }, () => {
  const file = join(folder, 'rsyslog.d/postern.conf');
  const { stderr, status } = spawnSync(findProgram('rsyslogd')!, ['-N1', '-f', file], { encoding: 'utf8' });
  assert.doesNotMatch(stderr, /error/i);
  assert.equal(status, 0);
});

test('the package has the files, and doc/logs.md names each', () => {
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: readonly string[] };
  assert.ok(files.includes('integration'));
  const page = readFileSync(join(root, 'doc/logs.md'), 'utf8');
  for (const name of globSync('**/*', { cwd: folder, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const path = join(name.parentPath, name.name).slice(root.length + 1);
    assert.ok(page.includes(path), path);
  }
});
