import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findService, parseServices, servicesFile } from '../../src/client/services.ts';

const FILE = `\
# Network services, Internet style
ssh\t\t22/tcp\t\t\t\t# SSH Remote Login Protocol
domain\t\t53/tcp\t\t\t\t# Domain Name Server
domain\t\t53/udp
http\t\t80/tcp\t\twww\t\t# WorldWideWeb HTTP\r
shell\t\t514/tcp\t\tcmd syslog
syslog\t\t514/udp
ssh\t\t2222/tcp
broken
odd\t\tx/tcp
huge\t\t70000/tcp
sctp-only\t9/sctp
`;

test('parseServices() finds names and aliases by protocol, the first line first', () => {
  const services = parseServices(FILE);
  assert.deepEqual(
    [...services],
    [
      ['ssh/tcp', 22],
      ['domain/tcp', 53],
      ['domain/udp', 53],
      ['http/tcp', 80],
      ['www/tcp', 80],
      ['shell/tcp', 514],
      ['cmd/tcp', 514],
      ['syslog/tcp', 514],
      ['syslog/udp', 514],
    ],
  );
});

test('parseServices() never throws and never yields a number that is no port', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^([a-z]{1,3}\s\d{1,6}\/(tcp|udp)\s?#?\n?)*$/)), (text) => {
      for (const port of parseServices(text).values()) assert.ok(Number.isInteger(port) && port >= 0 && port <= 65535);
    }),
  );
});

test('findService() takes a name from the other protocol only when its own has none', () => {
  const services = parseServices('exec 512/tcp\nbiff 512/udp\nodd 1/tcp\nodd 2/udp\n');
  assert.equal(findService(services, 'odd', 'tcp'), 1);
  assert.equal(findService(services, 'odd', 'udp'), 2);
  assert.equal(findService(services, 'exec', 'udp'), 512);
  assert.equal(findService(services, 'EXEC', 'tcp'), undefined);
});

test('servicesFile() knows where Windows keeps it', () => {
  assert.equal(servicesFile('linux', {}), '/etc/services');
  assert.match(servicesFile('win32', { SystemRoot: 'D:\\W' }), /^D:\\W.System32.drivers.etc.services$/);
});
