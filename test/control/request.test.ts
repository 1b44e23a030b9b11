import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { LONGEST_REQUEST } from '../../src/control/protocol.ts';
import { decodeRequest, parseSince, REQUESTS } from '../../src/control/request.ts';

const NOW = Date.UTC(2030, 0, 31, 12);
const decode = (text: string | object) =>
  decodeRequest(new TextEncoder().encode(typeof text === 'string' ? text : JSON.stringify(text)), NOW);

/** A line of every kind, and what it is. */
const GOOD: readonly (readonly [string, object])[] = [
  ['{"do":"status"}', { do: 'status' }],
  ['{"do":"help","v":1}', { do: 'help' }],
  ['{"do":"show","door":"ssh"}', { do: 'show', door: 'ssh' }],
  [
    '{"do":"open","door":"ssh","source":"192.0.2.7","for":"1m30s"}',
    { do: 'open', door: 'ssh', source: '192.0.2.7', duration: 90_000 },
  ],
  [
    '{"do":"open","door":"ssh","source":"2001:DB8:0::7"}',
    { do: 'open', door: 'ssh', source: '2001:db8::7', duration: undefined },
  ],
  ['{"do":"unban","source":"2001:DB8:9::/64"}', { do: 'unban', source: '2001:db8:9::/64' }],
  [
    '{"do":"ban","source":"192.0.2.7","for":"315360000s"}',
    { do: 'ban', source: '192.0.2.7', duration: 315_360_000_000 },
  ],
  ['{"do":"close","door":"ssh"}', { do: 'close', door: 'ssh', source: undefined }],
  ['{"do":"log","since":"1h","limit":5}', { do: 'log', query: { since: NOW - 3_600_000, limit: 5 } }],
  ['{"do":"log","types":["opened","opened","denied"]}', { do: 'log', query: { types: ['opened', 'denied'] } }],
  ['{"do":"follow","types":["stage"],"door":"ssh"}', { do: 'follow', filter: { door: 'ssh', types: ['stage'] } }],
  ['{"do":"reload"}', { do: 'reload' }],
];

for (const [line, request] of GOOD) {
  test(`\`decodeRequest()\` reads ${line}`, () => assert.deepEqual(decode(line), { request }));
}

test('`decodeRequest()` hands the id back, also of a request that is wrong', () => {
  assert.deepEqual(decode({ do: 'status', id: 7 }), { id: 7, request: { do: 'status' } });
  assert.deepEqual(decode({ do: 'status', id: 'a b' }), { id: 'a b', request: { do: 'status' } });
  assert.equal(decode({ do: 'dance', id: 7 }).id, 7);
});

const BAD: readonly (readonly [string, RegExp])[] = [
  ['', /^The line is not JSON: write one object such as \{"do":"status"\}$/],
  ['status', /^The line is not JSON/],
  ['[]', /^The line is not a JSON object/],
  ['null', /^The line is not a JSON object/],
  [
    '{}',
    /^"do" is missing: there are help, status, show, open, close, ban, unban, allow, disallow, attackers, log, follow, reload$/,
  ],
  ['{"do":"stat"}', /^Cannot do "stat": there are help/],
  ['{"do":"constructor"}', /^Cannot do "constructor"/],
  ['{"do":"status","v":2}', /^"v" must be 1: this daemon knows no other version$/],
  ['{"do":"status","id":1.5}', /^"id" must be a whole number or a text/],
  ['{"do":"status","door":"ssh"}', /^Unknown key "door": "status" has no keys$/],
  ['{"do":"open","dor":"ssh"}', /^Unknown key "dor": "open" has door, source, for$/],
  ['{"do":"status","__proto__":1}', /^Unknown key "__proto__"/],
  ['{"do":"show"}', /^"door" is missing$/],
  ['{"do":"show","door":""}', /^"door" must be the name of a door$/],
  ['{"do":"open","door":"ssh"}', /^"source" is missing$/],
  ['{"do":"open","door":"ssh","source":"1..2.3"}', /^Cannot read "source" "1\.\.2\.3"/],
  ['{"do":"ban","source":"192.0.2.0/33"}', /^Cannot read "source" "192\.0\.2\.0\/33"/],
  ['{"do":"ban","source":"2001:db8::/064"}', /^Cannot read "source" "2001:db8::\/064"/],
  ['{"do":"open","door":"ssh","source":7}', /^Cannot read "source" "7"/],
  ['{"do":"open","door":"ssh","source":"0.0.0.0"}', /^"source" "0\.0\.0\.0" is not the address of a host$/],
  ['{"do":"open","door":"ssh","source":"ff02::1"}', /is not the address of a host$/],
  ['{"do":"open","door":"ssh","source":"127.0.0.1"}', /is this machine itself, which passes every door$/],
  ['{"do":"ban","source":"::1"}', /is this machine itself/],
  ['{"do":"allow","door":"ssh"}', /^Unknown key "door": "allow" has source, for$/],
  ['{"do":"unban"}', /^"source" is missing$/],
  [
    '{"do":"open","door":"ssh","source":"192.0.2.7","for":30}',
    /^Cannot read "for" "30": write a duration such as "30s"$/,
  ],
  ['{"do":"open","door":"ssh","source":"192.0.2.7","for":"1ms"}', /^"for" must be from 100ms to 365d$/],
  ['{"do":"open","door":"ssh","source":"192.0.2.7","for":"366d"}', /^"for" must be from 100ms to 365d$/],
  ['{"do":"ban","source":"192.0.2.7","for":"3651d"}', /^"for" must be from 100ms to 3650d$/],
  ['{"do":"log","types":["closd"]}', /^Unknown type "closd": there are opened, renewed/],
  ['{"do":"log","types":["stage"]}', /^Unknown type "stage"/],
  ['{"do":"log","types":"opened"}', /^"types" must be a list/],
  ['{"do":"log","since":"yesterday"}', /^Cannot read "since" "yesterday"/],
  ['{"do":"log","since":"2030-13-31"}', /^Cannot read "since"/],
  ['{"do":"log","limit":0}', /^"limit" must be a whole number from 1 to 10000$/],
  ['{"do":"log","limit":10001}', /^"limit" must be/],
];

for (const [line, error] of BAD) {
  test(`\`decodeRequest()\` says what is wrong with ${line || 'an empty line'}`, () => {
    const decoded = decode(line);
    assert.ok('error' in decoded);
    assert.match(decoded.error, error);
  });
}

test('`decodeRequest()` refuses bytes that are not UTF-8', () => {
  const bytes = new TextEncoder().encode('{"do":"show","door":"s?h"}');
  bytes[bytes.indexOf(0x3f)] = 0xff;
  assert.ok('error' in decodeRequest(bytes, NOW));
});

test('`decodeRequest()` takes deep nesting for what it is', () => {
  assert.ok('error' in decode('['.repeat(LONGEST_REQUEST)));
  assert.ok('error' in decode(`{"do":${'['.repeat(30_000)}${']'.repeat(30_000)}}`));
});

test('`parseSince()` takes days and times without a zone for local ones', () => {
  assert.equal(parseSince('2030-01-31T12:00:00Z', 0), NOW);
  assert.equal(parseSince('2030-01-31 13:00+01:00', 0), NOW);
  assert.equal(parseSince('2030-01-31', 0), new Date(2030, 0, 31).getTime());
  assert.equal(parseSince('2030-01-31 08:30', 0), new Date(2030, 0, 31, 8, 30).getTime());
  assert.equal(parseSince('90m', NOW), NOW - 5_400_000);
  assert.equal(parseSince('31.1.2030', NOW), undefined);
});

test('`decodeRequest()` answers every truncation and every bit flip without throwing', () => {
  for (const [line] of GOOD) {
    const bytes = new TextEncoder().encode(line);
    for (let length = 0; length < bytes.length; length++) {
      assert.ok('error' in decodeRequest(bytes.subarray(0, length), NOW));
    }
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >>> 3]! ^= 1 << (bit & 7);
      const decoded = decodeRequest(flipped, NOW);
      assert.ok('error' in decoded !== 'request' in decoded);
    }
  }
});

test('`decodeRequest()` never throws, whatever comes', () => {
  const key = fc.oneof(
    fc.constantFrom('v', 'id', 'do', 'door', 'source', 'for', 'types', 'since', 'limit'),
    fc.string(),
  );
  const value = fc.oneof(
    fc.constantFrom<unknown>('ssh', '192.0.2.7', '30s', 1, ['opened']),
    fc.constantFrom(...Object.keys(REQUESTS)),
    fc.jsonValue(),
  );
  const object = fc.dictionary(key, value).map((fields) => new TextEncoder().encode(JSON.stringify(fields)));
  fc.assert(
    fc.property(fc.oneof(object, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      const decoded = decodeRequest(bytes, NOW);
      if ('request' in decoded) assert.ok(Object.hasOwn(REQUESTS, decoded.request.do));
      else assert.notEqual(decoded.error, '');
    }),
    { numRuns: 2000 },
  );
});
