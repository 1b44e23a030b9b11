import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeSshPorts, ourAddress, sshPortsOf, usualInterfaces } from '../../src/cli/host-choices.ts';
import { isLoopback, printAddress } from '../../src/core/address.ts';
import { addressesOf, interfaceNames } from '../../src/platform/interfaces.ts';

/** Not what this test itself was started over. */
const over = (server: string, port = 22) => ({ environment: { SSH_CONNECTION: `192.0.2.7 50123 ${server} ${port}` } });
const ELSEWHERE = '203.0.113.99';

test('the port of the session is protected, and those that the server listens on', () => {
  const found = { ports: [22, 2222], by: 'listener' } as const;
  assert.deepEqual(sshPortsOf(over(ELSEWHERE, 2200), found), [22, 2200, 2222]);
  assert.equal(describeSshPorts(over(ELSEWHERE), found), 'The SSH server listens on tcp/22, tcp/2222');
  assert.equal(
    describeSshPorts(over(ELSEWHERE, 2222), { ports: [2222], by: 'configuration' }),
    'The SSH server is configured for tcp/2222 (sshd -T)',
  );
  assert.equal(describeSshPorts(over(ELSEWHERE, 2222), undefined), 'This SSH session came in at tcp/2222');
});

test('knocks are heard where the session came in, and the printed command leads there', (t) => {
  const inward = interfaceNames().find((name) => name !== 'lo' && addressesOf(name, false).length > 0);
  if (inward === undefined) return t.skip('there is no interface with an address here');
  const server = printAddress(addressesOf(inward, false)[0]!);
  assert.equal(usualInterfaces(over(server))[0], inward);
  assert.equal(ourAddress([inward], over(server)), server);
});

test('a session to an address that no interface has may come in anywhere', () => {
  assert.deepEqual(usualInterfaces(over(ELSEWHERE)), ['any']);
  assert.equal(ourAddress(['any'], over(ELSEWHERE)), ELSEWHERE);
});

test('a session from this machine itself says nothing about interfaces', () => {
  assert.ok(!usualInterfaces(over('127.0.0.1')).includes('lo'));
  assert.notEqual(ourAddress(['any'], over('127.0.0.1')), '127.0.0.1');
  assert.ok(
    !addressesOf('any', true).some(
      (each) => isLoopback(each) && printAddress(each) === ourAddress(['any'], over('::1')),
    ),
  );
});
