/** The driver of ipfw against a stub that records: what it is told stands as in ipfw(8), what it answers as ipfw prints it. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { printAddress } from '../../src/core/address.ts';
import { type FirewallDriver, FirewallError } from '../../src/firewall/driver.ts';
import { openIpfw } from '../../src/firewall/ipfw.ts';
import { doorTable, installCommands, parseTables } from '../../src/firewall/ipfw-rules.ts';
import { doorPolicy, guardOf, source } from '../support/firewall-contract.ts';
import { createStubTools, type StubTools } from '../support/stub-tools.ts';

const LIST = `--- table(postern_ban), set(0) ---
198.51.100.9/32 1700000040
--- table(postern_-ssh), set(0) ---
192.0.2.7/32 1700000030
2001:db8:1:2::/64 4102444800
203.0.113.4/32 0
--- table(blocked), set(0) ---
10.0.0.0/8 0
`;
const RULES = '00010 skipto 12 ip from any to any via lo0\n00010 deny ip from table(postern_ban) to any in\n';
const SESSIONS = `Active Internet connections (including servers)
Proto Recv-Q Send-Q Local Address          Foreign Address        (state)
tcp4       0      0 192.0.2.1.22           198.51.100.7.51234     ESTABLISHED
tcp6       0      0 2001:db8::1.22         2001:db8:9::7.4444     ESTABLISHED
tcp4       0      0 192.0.2.1.80           198.51.100.7.51235     ESTABLISHED
tcp4       0      0 *.22                   *.*                    LISTEN
`;

const stubs: StubTools[] = [];
after(() => {
  for (const stub of stubs) stub.remove();
});

describe('the ipfw driver', () => {
  let tools: StubTools;
  let driver: FirewallDriver;
  let warnings: string[];
  beforeEach(() => {
    tools = createStubTools(['ipfw', 'netstat', 'tcpdrop']);
    stubs.push(tools);
    tools.answer('ipfw set show', 'disable 28 enable 0 1 2 29 30 31\n');
    tools.answer('ipfw set 29 list', RULES);
    tools.answer('netstat -anW -p tcp', SESSIONS);
    warnings = [];
    driver = openIpfw({ folder: tools.folder, warn: (text) => warnings.push(text) });
  });
  const install = (...args: Parameters<typeof guardOf>): Promise<boolean> => driver.install(guardOf(...args));

  test('prepares its rules in a disabled set and swaps', async () => {
    await install([doorPolicy('ssh', ['tcp/22', 'tcp/8000-8010']), doorPolicy('vpn', ['udp/5000'])]);
    assert.deepEqual(tools.runs(), [
      'ipfw table all list',
      'ipfw -q /dev/stdin',
      '< set disable 28',
      '< delete set 28',
      '< table postern_ban create type addr missing',
      '< table postern_live create type addr missing',
      '< table postern_allow create type addr missing',
      '< table postern_-ssh create type addr missing',
      '< table postern_-vpn create type addr missing',
      '< add 10 set 28 skipto 13 ip from any to any via lo0',
      '< add 10 set 28 skipto 13 ip from table(postern_allow) to any in',
      '< add 10 set 28 deny ip from table(postern_ban) to any in',
      '< add 11 set 28 skipto 12 tcp from table(postern_-ssh) to any 22,8000-8010 in',
      '< add 11 set 28 deny tcp from any to any 22,8000-8010 in setup',
      '< add 12 set 28 skipto 13 udp from table(postern_-vpn) to any 5000 in',
      '< add 12 set 28 deny udp from any to any 5000 in',
      '< set swap 28 29',
      '< delete set 28',
      'ipfw set show',
      'ipfw set 29 list',
    ]);
  });

  test('the trusted skip every rule; a guard that observes has no rule that denies', async () => {
    const trusted = [
      { address: source('192.0.2.0'), length: 24 },
      { address: source('192.0.2.7'), length: 32 },
      { address: source('2001:db8:7::'), length: 48 },
    ];
    const rules = (): string[] => tools.runs().filter((line) => line.startsWith('< add '));
    await install([doorPolicy('ssh', ['tcp/22'])], { trusted });
    assert.deepEqual(rules().slice(1, 5), [
      '< add 10 set 28 skipto 12 ip4 from 192.0.2.0/24 to any in',
      '< add 10 set 28 skipto 12 ip6 from 2001:db8:7::/48 to any in',
      '< add 10 set 28 skipto 12 ip from table(postern_allow) to any in',
      '< add 10 set 28 deny ip from table(postern_ban) to any in',
    ]);
    await install([doorPolicy('ssh', ['tcp/22'])], { observe: true });
    assert.deepEqual(rules(), [
      '< add 10 set 28 skipto 11 ip from any to any via lo0',
      '< add 10 set 28 skipto 11 ip from table(postern_allow) to any in',
    ]);
  });

  test('opens, renews, closes and bans by table entries with their end', async () => {
    await install([doorPolicy('ssh', ['tcp/22'])]);
    tools.runs();
    const before = Math.floor(Date.now() / 1000);
    await driver.open({ door: 'ssh', source: source('192.0.2.7'), remaining: 30_000, comment: 'x' });
    await driver.open({ door: 'ssh', source: source('2001:db8:1:2::7'), remaining: 30_000, comment: 'x' });
    await driver.close('ssh', source('192.0.2.7'));
    await driver.ban({ source: source('198.51.100.9'), remaining: 60_000 });
    await driver.unban(source('198.51.100.9'));
    const runs = tools.runs();
    const ends = runs.flatMap((run) => (/ add \S+ (\d+)$/.exec(run) ?? []).slice(1).map(Number));
    assert.deepEqual(
      runs.map((run) => run.replace(/( add \S+) \d+$/, '$1 END')),
      [
        'ipfw -q table postern_-ssh add 192.0.2.7 END',
        'ipfw -q table postern_-ssh add 2001:db8:1:2::/64 END',
        'ipfw -q table postern_-ssh delete 192.0.2.7',
        'ipfw -q table postern_ban add 198.51.100.9 END',
        'ipfw -q table postern_ban delete 198.51.100.9',
      ],
    );
    assert.ok(ends.every((end, index) => end >= before + [30, 30, 60][index]!));
  });

  test('a `kill` door drops the sessions of its source and of nobody else', async () => {
    await install([doorPolicy('ssh', ['tcp/22'], 'kill')]);
    const seeded = tools.runs();
    assert.ok(seeded.includes('< table postern_live add 198.51.100.7'), 'sessions before the guard go on');
    assert.ok(seeded.includes('< table postern_live add 2001:db8:9::/64'));
    assert.ok(seeded.includes('< add 11 set 28 skipto 12 tcp from table(postern_live) to any 22 in established'));
    assert.ok(seeded.includes('< add 11 set 28 deny tcp from any to any 22 in'));
    await driver.close('ssh', source('198.51.100.7'));
    assert.deepEqual(tools.runs(), [
      'ipfw -q table postern_-ssh delete 198.51.100.7',
      'ipfw -q table postern_live delete 198.51.100.7',
      'netstat -anW -p tcp',
      'tcpdrop 192.0.2.1 22 198.51.100.7 51234',
    ]);
    assert.deepEqual(warnings, []);
  });

  test('lists our tables, and only ours', async () => {
    await install([doorPolicy('ssh', ['tcp/22'])]);
    tools.answer('ipfw table all list', LIST);
    const { grants, bans } = await driver.list();
    assert.deepEqual(
      grants.map((grant) => [
        grant.door,
        printAddress(grant.source),
        grant.remaining > 1e12 ? 'for ever' : grant.remaining > 0,
      ]),
      [
        ['ssh', '192.0.2.7', false],
        ['ssh', '2001:db8:1:2::', 'for ever'],
        ['ssh', '203.0.113.4', 'for ever'],
      ],
    );
    assert.deepEqual(
      bans.map((ban) => printAddress(ban.source)),
      ['198.51.100.9'],
    );
  });

  test('a new installation destroys the tables of doors that are gone, after the rules', async () => {
    tools.answer('ipfw table all list', LIST);
    await install([doorPolicy('web', ['tcp/80'])]);
    const runs = tools.runs();
    assert.ok(runs.indexOf('< table postern_-ssh destroy') > runs.indexOf('< set swap 28 29'));
    assert.ok(!runs.some((run) => run.includes('blocked')));
    await driver.remove();
    assert.ok(tools.runs().includes('< delete set 29'));
  });

  test('what ipfw refuses is refused, and so is what it would take wrongly', async () => {
    await assert.rejects(
      driver.open({ door: 'ssh', source: source('192.0.2.7'), remaining: 1, comment: '' }),
      FirewallError,
    );
    await install([doorPolicy('ssh', ['tcp/22'])]);
    await assert.rejects(
      driver.open({ door: 'other', source: source('192.0.2.7'), remaining: 1, comment: '' }),
      /no such door/,
    );
    await assert.rejects(
      driver.open({ door: 'ssh', source: source('192.0.2.7'), remaining: 0, comment: '' }),
      FirewallError,
    );
    tools.answer('ipfw -q table postern_-ssh delete 192.0.2.7', 'ipfw: Deleting record failed: record not found\n', 1);
    await driver.close('ssh', source('192.0.2.7'));
    tools.answer('ipfw -q table postern_-ssh delete 192.0.2.7', 'ipfw: Operation not permitted\n', 1);
    await assert.rejects(driver.close('ssh', source('192.0.2.7')), /Operation not permitted/);
    tools.answer('ipfw set show', 'disable 28 29 enable 0 1 2 30 31\n');
    await assert.rejects(install([doorPolicy('ssh', ['tcp/22'])]), /not in force/);
  });

  test('rules that were changed or switched off are noticed', async () => {
    await install([doorPolicy('ssh', ['tcp/22'])]);
    for (const harm of [
      () => tools.answer('ipfw set 29 list', RULES.slice(0, 40)),
      () => tools.answer('ipfw set show', 'disable 29 enable 0 1\n'),
    ]) {
      await install([doorPolicy('ssh', ['tcp/22'])]);
      const { promise: lost, resolve } = Promise.withResolvers<void>();
      const watch = driver.watch(resolve);
      harm();
      await lost;
      watch.close();
    }
    await driver.stop();
  });

  test('more doors than rule numbers are refused before anything is done', async () => {
    const doors = Array.from({ length: 100 }, (_, index) => doorPolicy(`d${index}`, [`tcp/${1000 + index}`]));
    assert.throws(() => installCommands(guardOf(doors)), /room/);
    await assert.rejects(install(doors), FirewallError);
    assert.deepEqual(tools.runs(), []);
  });
});

test('`parseTables()` reads any part of a list without throwing, and never more than there is', () => {
  const whole = parseTables(LIST).entries.length;
  assert.equal(whole, 4);
  for (let length = 0; length <= LIST.length; length += 1) {
    assert.ok(parseTables(LIST.slice(0, length)).entries.length <= whole);
  }
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(...LIST.split('\n')))), (lines) => {
      for (const { table } of parseTables(lines.join('\n')).entries) assert.match(table, /^postern_/);
    }),
  );
});

test('a table of a door is none of our own', () => {
  for (const name of ['ban', 'live', 'x'.repeat(32)]) {
    assert.match(doorTable(name), /^[-_.a-zA-Z0-9]{1,63}$/);
    assert.ok(!['postern_ban', 'postern_live'].includes(doorTable(name)));
  }
});
