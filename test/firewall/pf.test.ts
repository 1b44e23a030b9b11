/** The driver of pf against a stub that records: what it is told stands as in pfctl(8) and pf.conf(5), what it answers as pfctl prints it. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { printAddress } from '../../src/core/address.ts';
import { type FirewallDriver, FirewallError } from '../../src/firewall/driver.ts';
import { openPf } from '../../src/firewall/pf.ts';
import { anchorRules, doorTable, parseAnchor, parseTable, statesOf } from '../../src/firewall/pf-rules.ts';
import { doorPolicy, guardOf, source } from '../support/firewall-contract.ts';
import { createStubTools, type StubTools } from '../support/stub-tools.ts';

const RULES = 'block drop in quick on ! lo0 from <ban> to any\n';
const STATES = `all tcp 192.0.2.1:22 <- 198.51.100.7:51234       ESTABLISHED:ESTABLISHED
   [1000 + 65535] wscale 6  [2000 + 65535] wscale 7
   age 00:01:13, expires in 23:59:57, 20:18 pkts, 2452:3254 bytes, rule 3
   id: 5f2b8a6500000001 creatorid: 1cf5d4bb
all tcp 10.0.0.5:80 (192.0.2.1:8080) <- 198.51.100.7:51236       ESTABLISHED:ESTABLISHED
   id: 5f2b8a6500000002 creatorid: 1cf5d4bb
all tcp 192.0.2.1:22 <- 203.0.113.4:51234       ESTABLISHED:ESTABLISHED
   id: 5f2b8a6500000003 creatorid: 1cf5d4bb
all tcp 192.0.2.1:40000 -> 198.51.100.7:22       ESTABLISHED:ESTABLISHED
   id: 5f2b8a6500000004 creatorid: 1cf5d4bb
all tcp 2001:db8::1[22] <- 2001:db8:9::7[4444]       ESTABLISHED:ESTABLISHED
   id: 5f2b8a6500000005 creatorid: 1cf5d4bb
all udp 192.0.2.1:22 <- 198.51.100.7:123       MULTIPLE:MULTIPLE
   id: 5f2b8a6500000006 creatorid: 1cf5d4bb
`;
const SESSIONS = `Proto Recv-Q Send-Q Local Address          Foreign Address        (state)
tcp4       0      0 192.0.2.1.22           198.51.100.7.51234     ESTABLISHED
`;

const stubs: StubTools[] = [];
after(() => {
  for (const stub of stubs) stub.remove();
});

describe('the pf driver', () => {
  let tools: StubTools;
  let driver: FirewallDriver;
  let warnings: string[];
  beforeEach(() => {
    tools = createStubTools(['pfctl', 'netstat', 'tcpdrop']);
    stubs.push(tools);
    tools.answer('pfctl -s info', 'Status: Enabled for 0 days 00:01:02           Debug: Urgent\n');
    tools.answer('pfctl -s rules', 'anchor "postern" all\nblock drop all\npass in quick proto tcp to any port = 22\n');
    tools.answer('pfctl -a postern -s rules', RULES);
    tools.answer('pfctl -a postern -s Tables', 'ban\ndoor-old\nlive\n');
    tools.answer('netstat -anW -p tcp', SESSIONS);
    warnings = [];
    driver = openPf({ folder: tools.folder, warn: (text) => warnings.push(text) });
  });
  const install = (...args: Parameters<typeof guardOf>): Promise<boolean> => driver.install(guardOf(...args));

  test('loads its anchor in one step and kills the tables of doors that are gone', async () => {
    await install([doorPolicy('ssh', ['tcp/22']), doorPolicy('vpn', ['udp/5000-5010'])], { face: 'reset' });
    assert.deepEqual(tools.runs(), [
      'pfctl -s info',
      'pfctl -s rules',
      'pfctl -a postern -s Tables',
      'pfctl -a postern -f -',
      '< table <ban> persist',
      '< table <live> persist',
      '< table <allow> persist',
      '< table <door-ssh> persist',
      '< table <door-vpn> persist',
      '< pass in quick on ! lo0 proto tcp from <allow> to any port 22 flags S/SA keep state',
      '< pass in quick on ! lo0 proto udp from <allow> to any port 5000:5010 keep state',
      '< block drop in quick on ! lo0 from <ban>',
      '< pass in quick on ! lo0 proto tcp from <door-ssh> to any port 22 flags S/SA keep state',
      '< block return in quick on ! lo0 proto tcp from any to any port 22 flags S/SA',
      '< pass in quick on ! lo0 proto udp from <door-vpn> to any port 5000:5010 keep state',
      '< block return in quick on ! lo0 proto udp from any to any port 5000:5010',
      'pfctl -a postern -t door-old -T kill',
      'pfctl -s info',
      'pfctl -s rules',
      'pfctl -a postern -s rules',
    ]);
    assert.deepEqual(warnings, []);
  });

  test('the trusted pass before the banned are blocked; a guard that observes blocks nobody', async () => {
    const trusted = [
      { address: source('192.0.2.0'), length: 24 },
      { address: source('192.0.2.7'), length: 32 },
      { address: source('2001:db8:7::'), length: 48 },
    ];
    const rules = (): string[] => tools.runs().filter((line) => line.startsWith('< '));
    await install([doorPolicy('ssh', ['tcp/22'])], { trusted });
    assert.deepEqual(rules().slice(4, 8), [
      '< table <trusted> persist { 192.0.2.0/24 2001:db8:7::/48 }',
      '< pass in quick on ! lo0 proto tcp from <allow> to any port 22 flags S/SA keep state',
      '< pass in quick on ! lo0 proto tcp from <trusted> to any port 22 flags S/SA keep state',
      '< block drop in quick on ! lo0 from <ban>',
    ]);
    await install([doorPolicy('ssh', ['tcp/22'])], { observe: true });
    assert.deepEqual(rules().at(-1), '< anchor "observed"');
  });

  test('opens, closes and bans by table entries', async () => {
    await install([doorPolicy('ssh', ['tcp/22'])]);
    tools.runs();
    await driver.open({ door: 'ssh', source: source('192.0.2.7'), remaining: 30_000, comment: 'x' });
    await driver.open({ door: 'ssh', source: source('2001:db8:1:2::7'), remaining: 30_000, comment: 'x' });
    await driver.close('ssh', source('192.0.2.7'));
    await driver.ban({ source: source('198.51.100.9'), remaining: 60_000 });
    await driver.unban(source('198.51.100.9'));
    assert.deepEqual(tools.runs(), [
      'pfctl -a postern -t door-ssh -T add 192.0.2.7',
      'pfctl -a postern -t door-ssh -T add 2001:db8:1:2::/64',
      'pfctl -a postern -t door-ssh -T delete 192.0.2.7',
      'pfctl -a postern -t ban -T add 198.51.100.9',
      'pfctl -k 198.51.100.9',
      'pfctl -a postern -t ban -T delete 198.51.100.9',
    ]);
  });

  test('`cut` ends the states of the source at this door, `kill` drops its sessions too', async () => {
    tools.answer('pfctl -vv -s states', STATES);
    await install([doorPolicy('ssh', ['tcp/22'], 'cut'), doorPolicy('web', ['tcp/8080'], 'kill')]);
    tools.runs();
    await driver.close('ssh', source('198.51.100.7'));
    assert.deepEqual(tools.runs().slice(2), ['pfctl -vv -s states', 'pfctl -k id -k 5f2b8a6500000001/1cf5d4bb']);
    await driver.close('ssh', source('2001:db8:9::9'));
    assert.deepEqual(tools.runs().slice(3), ['pfctl -k id -k 5f2b8a6500000005/1cf5d4bb']);
    await driver.close('web', source('198.51.100.7'));
    assert.deepEqual(tools.runs().slice(3), ['pfctl -k id -k 5f2b8a6500000002/1cf5d4bb', 'netstat -anW -p tcp']);
  });

  test('the sources of sessions older than the guard may go on at doors that refuse all', async () => {
    tools.answer('pfctl -a postern -s Tables', 'pfctl: Anchor does not exist.\n', 1);
    await install([doorPolicy('ssh', ['tcp/22'], 'kill')]);
    const runs = tools.runs();
    assert.ok(runs.includes('pfctl -a postern -t live -T add 198.51.100.7'));
    assert.ok(runs.includes('< pass in quick on ! lo0 proto tcp from <live> to any port 22 flags /S no state'));
    assert.ok(runs.includes('< block drop in quick on ! lo0 proto tcp from any to any port 22'));
  });

  test('lists what is in the tables of its doors', async () => {
    tools.answer('pfctl -a postern -s Tables', 'ban\ndoor-ssh\nlive\n');
    tools.answer('pfctl -a postern -t door-ssh -T show', '   192.0.2.7\n   2001:db8:1:2::/64\n');
    await install([doorPolicy('ssh', ['tcp/22'])]);
    const { grants, bans } = await driver.list();
    assert.deepEqual(
      grants.map(({ door, source: from, remaining }) => [door, printAddress(from), remaining]),
      [
        ['ssh', '192.0.2.7', Number.POSITIVE_INFINITY],
        ['ssh', '2001:db8:1:2::', Number.POSITIVE_INFINITY],
      ],
    );
    assert.deepEqual(bans, []);
  });

  test('a host that is not prepared is told what is missing, and nothing is done', async () => {
    tools.answer('pfctl -s rules', 'block drop all\n');
    await assert.rejects(install([doorPolicy('ssh', ['tcp/22'])]), /pf.conf has no line: anchor "postern"/);
    tools.answer('pfctl -s info', 'Status: Disabled\n');
    await assert.rejects(install([doorPolicy('ssh', ['tcp/22'])]), /pf is not enabled/);
    assert.ok(!tools.runs().some((run) => run.includes('-f')));
    tools.answer('pfctl -s info', 'Status: Enabled\n');
    tools.answer('pfctl -s rules', 'pass in quick proto tcp all\nanchor "postern" all\n');
    await install([doorPolicy('ssh', ['tcp/22'])]);
    assert.equal(warnings.length, 1);
  });

  test('what pfctl refuses is refused, and so is what it would take wrongly', async () => {
    const grant = { door: 'ssh', source: source('192.0.2.7'), remaining: 1000, comment: '' };
    await assert.rejects(driver.open(grant), FirewallError);
    await install([doorPolicy('ssh', ['tcp/22'])]);
    await assert.rejects(driver.open({ ...grant, door: 'other' }), /no such door/);
    tools.answer('pfctl -a postern -t door-ssh -T add 192.0.2.7', 'pfctl: /dev/pf: Permission denied\n', 1);
    await assert.rejects(driver.open(grant), /Permission denied/);
    tools.answer('pfctl -a postern -t door-ssh -T delete 192.0.2.7', 'pfctl: Table does not exist.\n', 1);
    await driver.close('ssh', source('192.0.2.7'));
  });

  test('rules that were changed, and an anchor that was taken out, are noticed', async () => {
    for (const harm of [
      () => tools.answer('pfctl -a postern -s rules', ''),
      () => tools.answer('pfctl -s rules', 'block drop all\n'),
    ]) {
      tools.answer('pfctl -a postern -s rules', RULES);
      await install([doorPolicy('ssh', ['tcp/22'])]);
      const { promise: lost, resolve } = Promise.withResolvers<void>();
      const watch = driver.watch(resolve);
      harm();
      await lost;
      watch.close();
    }
    await driver.stop();
  });
});

test('tables have names that pf takes, and different ones for different doors', () => {
  const long = ['x'.repeat(32), `${'x'.repeat(31)}y`];
  for (const name of [...long, 'ban']) assert.ok(doorTable(name).length <= 31);
  assert.notEqual(doorTable(long[0]!), doorTable(long[1]!));
  assert.match(anchorRules(guardOf([doorPolicy(long[0]!, ['tcp/22'])])), /<door-x{17}\.[0-9a-f]{8}>/);
});

test('the parsers read any part of a listing without throwing', () => {
  const block = { address: source('198.51.100.7'), length: 32 };
  const ports = doorPolicy('all', ['tcp/1-65535']).protect;
  const whole = statesOf(STATES, block, ports);
  assert.equal(whole.length, 2);
  for (let length = 0; length <= STATES.length; length += 1) {
    assert.ok(statesOf(STATES.slice(0, length), block, ports).length <= whole.length);
  }
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(...STATES.split('\n')))), (lines) => {
      const text = lines.join('\n');
      for (const id of statesOf(text, block, ports)) assert.match(id, /^[0-9a-f]+\/[0-9a-f]+$/);
      parseAnchor(text);
      parseTable(text);
    }),
  );
});
