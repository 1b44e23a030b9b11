import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { printAddress } from '../../src/core/address.ts';
import { addressOf, keyOf, portOfSessionKey } from '../../src/firewall/nft-keys.ts';
import { parseConntrack } from '../../src/firewall/sessions.ts';
import { parseTcpSession } from '../../src/platform/tcp-sessions.ts';
import { source } from '../support/firewall-contract.ts';

describe('sessions', () => {
  test('a line of /proc/net/tcp', () => {
    const line = (remote: string, state: string): string =>
      `   3: 01014D0A:0016 ${remote} ${state} 00000000:00000000 02:000AFD2F 00000000     0        0 12345 2`;
    const session = parseTcpSession(line('02014D0A:C350', '01'));
    assert.deepEqual(
      [session && printAddress(session.source), session?.sourcePort, session?.port],
      ['10.77.1.2', 50_000, 22],
    );
    for (const state of ['0A', '06', '07', '02'])
      assert.equal(parseTcpSession(line('02014D0A:C350', state)), undefined);
    assert.equal(parseTcpSession('  sl  local_address rem_address   st'), undefined);
  });

  test('a line of /proc/net/tcp6, of either family', () => {
    const line = (remote: string): string => `   1: 00000000000000000000000000000000:0016 ${remote}:C350 08 0 `;
    const sourceOf = (remote: string): string => printAddress(parseTcpSession(line(remote))!.source);
    assert.equal(sourceOf('000077FD000000000000000002000000'), 'fd77::2');
    assert.equal(sourceOf('0000000000000000FFFF000002014D0A'), '10.77.1.2');
  });

  test('a line of `conntrack -L`', () => {
    const line = (state: string): string =>
      `tcp      6 431999 ${state} src=10.77.1.2 dst=10.77.1.1 sport=40000 dport=8080 src=10.77.2.2 dst=10.77.1.2 sport=80 dport=40000 [ASSURED] mark=0 use=1`;
    assert.deepEqual(parseConntrack(line('ESTABLISHED')), [
      { source: source('10.77.1.2'), sourcePort: 40_000, port: 8080 },
    ]);
    assert.deepEqual(
      [parseConntrack(line('TIME_WAIT')), parseConntrack(line('SYN_SENT')), parseConntrack('')],
      [[], [], []],
    );
  });
});

test('Who is held in the tarpit has no session', () => {
  const line =
    'tcp      6 431999 ESTABLISHED src=10.77.1.2 dst=10.77.1.1 sport=40000 dport=22 src=10.77.1.1 dst=10.77.1.2 sport=22022 dport=40000 [ASSURED] mark=0 use=1';
  assert.deepEqual(
    [parseConntrack(line).length, parseConntrack(line, 2222).length, parseConntrack(line, 22_022)],
    [1, 1, []],
  );
});

describe('keys', () => {
  test('an address comes back from its key', () => {
    for (const text of ['10.77.1.2', '255.255.255.255', 'fd77::2', 'ffff:ffff::1']) {
      const version = text.includes(':') ? 6 : 4;
      assert.equal(printAddress(addressOf(keyOf(source(text)), version)!), text);
    }
    assert.equal(addressOf(new Uint8Array(3), 4), undefined);
    assert.equal(addressOf(new Uint8Array(15), 6), undefined);
  });

  test("a session's key has its port behind address and source port", () => {
    assert.equal(portOfSessionKey(new Uint8Array([10, 1, 1, 1, 0, 5, 0, 0, 0, 22, 0, 0]), 4), 22);
    assert.equal(portOfSessionKey(new Uint8Array(4), 4), 0);
  });
});
