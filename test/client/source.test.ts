import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import type { HostAddress } from '../../src/client/resolve.ts';
import { routeFromAddress, routeFromInterface, SourceError } from '../../src/client/source.ts';

function v4(address: string): NetworkInterfaceInfo {
  return { address, family: 'IPv4', netmask: '255.255.255.0', mac: '', internal: false, cidr: null };
}

function v6(address: string, scopeid = 0): NetworkInterfaceInfo {
  return { address, family: 'IPv6', netmask: 'ffff::', mac: '', internal: false, cidr: null, scopeid };
}

const interfaces = {
  eth0: [v4('10.0.0.2'), v4('10.0.0.3'), v6('fe80::2', 2), v6('fd00::2')],
  tun0: [v4('10.9.0.1')],
};

const HOST4: HostAddress = { address: '198.51.100.1', family: 4 };
const HOST6: HostAddress = { address: '2001:db8::1', family: 6 };
const LINK: HostAddress = { address: 'fe80::1', family: 6 };

test('routeFromAddress() takes the host address of the same family', () => {
  assert.deepEqual(routeFromAddress('10.0.0.2', [HOST6, HOST4]), { to: HOST4, from: '10.0.0.2' });
  assert.deepEqual(routeFromAddress('fd00::2', [HOST4, HOST6]), { to: HOST6, from: 'fd00::2' });
  assert.throws(
    () => routeFromAddress('fd00::2', [HOST4]),
    new SourceError('The host has no IPv6 address to reach from "fd00::2"'),
  );
});

test("routeFromInterface() takes the interface's first address of the host's family", () => {
  assert.deepEqual(routeFromInterface('eth0', [HOST4], interfaces), { to: HOST4, from: '10.0.0.2' });
});

test('routeFromInterface() passes over host addresses that the interface can not reach', () => {
  assert.deepEqual(routeFromInterface('tun0', [HOST6, HOST4], interfaces), { to: HOST4, from: '10.9.0.1' });
});

test('routeFromInterface() pairs global with global and link-local with link-local, and names the zone', () => {
  assert.equal(routeFromInterface('eth0', [HOST6], interfaces).from, 'fd00::2');
  const zone = process.platform === 'win32' ? '2' : 'eth0';
  assert.deepEqual(routeFromInterface('eth0', [LINK], interfaces), {
    to: { address: `fe80::1%${zone}`, family: 6 },
    from: `fe80::2%${zone}`,
  });
  assert.equal(
    routeFromInterface('eth0', [{ address: 'fe80::1%eth0', family: 6 }], interfaces).to.address,
    'fe80::1%eth0',
  );
});

test('routeFromInterface() says what is missing', () => {
  assert.throws(
    () => routeFromInterface('eth9', [HOST4], interfaces),
    new SourceError('Interface "eth9" does not exist, is down, or has no address'),
  );
  assert.throws(
    () => routeFromInterface('tun0', [HOST6], interfaces),
    new SourceError('Interface "tun0" has no IPv6 address'),
  );
});
