import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { printExpressions } from '../../src/config/knockd-expression.ts';
import { type Address, parseAddress } from '../../src/core/address.ts';

function print(conf: string, ...addresses: string[]): string[] {
  const result = parseKnockdConf(conf, { file: 'k', readFile: () => assert.fail() });
  assert.ok(result.ok);
  const local = addresses.map((text): Address => parseAddress(text) ?? assert.fail(text));
  return printExpressions(result.config.doors, local).map((line) =>
    line.replace('adding pcap expression for door ', ''),
  );
}

test('printExpressions() lists all doors for IPv4, then for IPv6, with the addresses of each in reverse', () => {
  const conf =
    '[A]\nsequence=1,2:udp,2,1:udp\ntcpflags=fin,!syn,rst,!psh,ack,!urg\n[B]\nsequence=2:udp\ntcpflags=syn\n';
  const flags = (field: string): string =>
    `${field} & tcp-fin != 0 and ${field} & tcp-syn == 0 and ${field} & tcp-rst != 0 and ${field} & tcp-push == 0 and ${field} & tcp-ack != 0 and ${field} & tcp-urg == 0`;
  assert.deepEqual(print(conf, '127.0.0.1', '::1', '10.0.0.1', 'fe80::1'), [
    `'A': ((dst host 10.0.0.1 or dst host 127.0.0.1) and (((tcp dst port 1 or 2) and ${flags('tcp[tcpflags]')}) or (udp dst port 2 or 1)))`,
    "'B': ((dst host 10.0.0.1 or dst host 127.0.0.1) and ((udp dst port 2)))",
    `'A': ((dst host fe80::1 or dst host ::1) and (((tcp dst port 1 or 2) and ${flags('ip6[13+40]')}) or (udp dst port 2 or 1)))`,
    "'B': ((dst host fe80::1 or dst host ::1) and ((udp dst port 2)))",
  ]);
});

test('printExpressions() repeats a target for every local address, as written', () => {
  assert.deepEqual(print('[A]\nsequence=1,9\ntarget=localhost\n', '10.0.0.1', '10.0.0.2'), [
    "'A': ((dst host localhost or dst host localhost) and (((tcp dst port 1 or 9))))",
  ]);
});

test('printExpressions() prints nothing without an address', () => {
  assert.deepEqual(print('[A]\nsequence=1,9\n'), []);
});
