/** The driver of the administrator's own program against a stub that records: its words and input stand as in doc/firewalls.md. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { printAddress } from '../../src/core/address.ts';
import { REFUSING, SILENT } from '../../src/firewall/answers.ts';
import { guardLines, openCommand, parseListing } from '../../src/firewall/command.ts';
import { type FirewallDriver, FirewallError } from '../../src/firewall/driver.ts';
import { driversHere, openDriver } from '../../src/firewall/drivers.ts';
import { doorPolicy, guardOf, source } from '../support/firewall-contract.ts';
import { createStubTools, type StubTools } from '../support/stub-tools.ts';

const GRANT = { door: 'ssh', source: source('192.0.2.7'), remaining: 30_000, comment: 'x' };
const LIST = `guard
grant ssh 192.0.2.7
grant web-2 2001:db8:1:2::/64
ban 198.51.100.9
allow 203.0.113.4
`;

const stubs: StubTools[] = [];
after(() => {
  for (const stub of stubs) stub.remove();
});

describe('the command driver', () => {
  let tools: StubTools;
  let driver: FirewallDriver;
  beforeEach(() => {
    tools = createStubTools(['firewall']);
    stubs.push(tools);
    driver = openCommand({ command: [`${tools.folder}firewall`, '--zone', 'a b'] });
  });
  const install = (...args: Parameters<typeof guardOf>): Promise<boolean> => driver.install(guardOf(...args));

  test('gives the guard to its program as JSON lines', async () => {
    await install([doorPolicy('ssh', ['tcp/22', 'tcp/8000-8010']), doorPolicy('vpn', ['udp/5000'], 'cut')], {
      face: 'mirror',
      closed: { 4: REFUSING, 6: REFUSING },
      trusted: [
        { address: source('192.0.2.0'), length: 24 },
        { address: source('2001:db8::7'), length: 128 },
      ],
      observe: true,
    });
    assert.deepEqual(tools.runs(), [
      'firewall --zone a b list',
      'firewall --zone a b install',
      '< {"observe":true,"face":"reset","ipv6_prefix":64}',
      '< {"trusted":"192.0.2.0/24"}',
      '< {"trusted":"2001:db8::7"}',
      '< {"door":"ssh","protect":["tcp/22","tcp/8000-8010"],"close":"keep"}',
      '< {"door":"vpn","protect":["udp/5000"],"close":"cut"}',
    ]);
  });

  test('knows two faces: refused, where TCP is refused over both families, and dropped', () => {
    const faceOf = (rest: Parameters<typeof guardOf>[1]) =>
      (JSON.parse(guardLines(guardOf([], rest)).split('\n')[0]!) as { face: string }).face;
    const quietUdp = { ...REFUSING, udp: 'drop' } as const;
    const host = { ...REFUSING, tcp: 'icmp admin-prohibited' } as const;
    assert.equal(faceOf({ face: 'auto' }), 'drop');
    assert.equal(faceOf({ face: 'auto', closed: { 4: quietUdp, 6: REFUSING } }), 'reset');
    assert.equal(faceOf({ face: 'auto', closed: { 4: REFUSING, 6: SILENT } }), 'drop');
    assert.equal(faceOf({ face: 'auto', closed: { 4: host, 6: host } }), 'drop');
  });

  test('says what happens in words, in the order in which it was asked for', async () => {
    await install([doorPolicy('ssh', ['tcp/22'])]);
    tools.runs();
    const network = source('2001:db8:1:2::7');
    await Promise.all([
      driver.open(GRANT),
      driver.open({ ...GRANT, remaining: 900 }),
      driver.open({ ...GRANT, source: network }),
      driver.close('ssh', network),
      driver.ban({ source: source('198.51.100.9'), remaining: 60_001 }),
      driver.unban(source('198.51.100.9')),
      driver.allow({ source: network, remaining: 1000 }),
      driver.disallow(network),
      driver.remove(),
    ]);
    assert.deepEqual(tools.runs(), [
      'firewall --zone a b open ssh 192.0.2.7 30',
      'firewall --zone a b open ssh 192.0.2.7 1',
      'firewall --zone a b open ssh 2001:db8:1:2::/64 30',
      'firewall --zone a b close ssh 2001:db8:1:2::/64',
      'firewall --zone a b ban 198.51.100.9 61',
      'firewall --zone a b unban 198.51.100.9',
      'firewall --zone a b allow 2001:db8:1:2::/64 1',
      'firewall --zone a b disallow 2001:db8:1:2::/64',
      'firewall --zone a b remove',
    ]);
    await install([doorPolicy('ssh', ['tcp/22'])], { ipv6Prefix: 128 });
    tools.runs();
    await driver.open({ ...GRANT, source: network });
    assert.deepEqual(tools.runs(), ['firewall --zone a b open ssh 2001:db8:1:2::7 30']);
  });

  test('lists what the program says, as endless, and refuses a list that is not understood', async () => {
    tools.answer('firewall --zone a b list', LIST);
    const { grants, bans, allowed } = await driver.list();
    assert.deepEqual(
      grants.map(({ door, source: from, remaining }) => [door, printAddress(from), remaining]),
      [
        ['ssh', '192.0.2.7', Number.POSITIVE_INFINITY],
        ['web-2', '2001:db8:1:2::', Number.POSITIVE_INFINITY],
      ],
    );
    assert.deepEqual(
      [bans, allowed].map(([one]) => one && printAddress(one.source)),
      ['198.51.100.9', '203.0.113.4'],
    );
    for (const line of ['grant ssh', 'grant ssh somebody', 'ban 192.0.2.7 now', 'ssh 192.0.2.7', 'guard yes']) {
      tools.answer('firewall --zone a b list', `${LIST}${line}\n`);
      await assert.rejects(driver.list(), new RegExp(`line 6 of its list is not understood: "${line}"`));
    }
  });

  test('tells whether a guard of ours stood before, when the program says so', async () => {
    const doors = [doorPolicy('ssh', ['tcp/22'])];
    assert.equal(await install(doors), false);
    tools.answer('firewall --zone a b list', LIST);
    assert.equal(await install(doors), true);
    tools.answer('firewall --zone a b list', 'no list yet\n', 1);
    assert.equal(await install(doors), false);
  });

  test('what the program complains of is the refusal, and what it would take wrongly is not asked', async () => {
    await assert.rejects(driver.open(GRANT), /no such door/);
    await assert.rejects(driver.close('ssh', source('2001:db8::1')), /not installed yet/);
    await install([doorPolicy('ssh', ['tcp/22'])]);
    tools.runs();
    await assert.rejects(driver.open({ ...GRANT, door: 'other' }), FirewallError);
    for (const remaining of [0, -1, Number.NaN]) await assert.rejects(driver.open({ ...GRANT, remaining }), /no time/);
    await assert.rejects(install([doorPolicy('-x', ['tcp/22'])]), FirewallError);
    assert.deepEqual(tools.runs(), []);
    tools.answer('firewall --zone a b open ssh 192.0.2.7 30', '\nThe router is away\nmore\n', 1);
    await assert.rejects(driver.open(GRANT), (error) => {
      assert.ok(error instanceof FirewallError);
      assert.match(error.message, /^Cannot open door "ssh" for 192\.0\.2\.7: .*firewall says: The router is away$/);
      return true;
    });
    tools.answer('firewall --zone a b install', 'No\n', 1);
    await assert.rejects(install([doorPolicy('ssh', ['tcp/22'])]), /Cannot install the guard: .* says: No$/);
    const absent = openCommand({ command: ['/nonexistent/firewall'] });
    await assert.rejects(absent.list(), /cannot start \/nonexistent\/firewall/);
  });

  test('a guard that the program no longer lists is lost', async () => {
    const doors = [doorPolicy('ssh', ['tcp/22'])];
    tools.answer('firewall --zone a b list', LIST);
    await install(doors);
    const { promise: lost, resolve } = Promise.withResolvers<void>();
    const watch = driver.watch(resolve);
    await driver.list();
    tools.answer('firewall --zone a b list', '');
    await lost;
    watch.close();
    await driver.stop();
  });
});

test('the driver is there on every system, and needs its program', () => {
  assert.ok(driversHere().includes('command'));
  assert.throws(() => openDriver('command'), /Cannot use firewall "command": no program is named/);
  assert.equal(openDriver('command', { command: ['/bin/true'] }).name, 'command');
});

test('the parser reads any list or refuses it', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(...LIST.split('\n')))), (lines) => {
      try {
        parseListing(lines.join('\n'));
      } catch (error) {
        assert.ok(error instanceof FirewallError);
      }
    }),
  );
});
