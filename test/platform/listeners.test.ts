import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { test } from 'node:test';
import {
  type Listener,
  listenersFromDiag,
  listenersFromProc,
  listeningPorts,
  portsInUse,
  publicListeners,
  publicPorts,
} from '../../src/platform/listeners.ts';
import { address } from '../support/knocks.ts';

const skip = process.platform !== 'linux' && 'needs Linux';

async function listen(host: string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  return { server, port: address.port };
}

const portsOf = (found: readonly Listener[] = []): number[] => found.map(({ port }) => port);
const SOURCES = {
  'socket diagnostics': () => portsOf(listenersFromDiag()),
  '/proc': () => portsOf(listenersFromProc()),
  both: listeningPorts,
};

for (const [name, read] of Object.entries(SOURCES)) {
  const absent = skip || (name === 'socket diagnostics' && listenersFromDiag() === undefined && 'needs sock_diag');
  test(`A port is listed while somebody listens on it (${name})`, { skip: absent }, async () => {
    const { server, port } = await listen('127.0.0.1');
    assert.ok(read().includes(port));
    server.close();
    await once(server, 'close');
    assert.ok(!read().includes(port));
  });

  test(`The port of a connection is not listed (${name})`, { skip: absent }, async () => {
    const { server, port } = await listen('127.0.0.1');
    const client = connect(port, '127.0.0.1');
    await once(client, 'connect');
    assert.ok(!read().includes(client.localPort!));
    client.destroy();
    server.close();
  });
}

test('IPv6 listeners count too', { skip }, async (t) => {
  const found = await listen('::1').catch(() => undefined);
  if (!found) return t.skip('no IPv6 here');
  assert.ok(listeningPorts().includes(found.port));
  found.server.close();
});

test('Ports are ascending and each is there once', { skip }, async () => {
  const servers = await Promise.all(['127.0.0.1', '127.0.0.1', '127.0.0.1'].map(listen));
  const twice = createServer().listen(servers[0]!.port, '127.0.0.2');
  await once(twice, 'listening');
  const ports = listeningPorts();
  assert.deepEqual(
    ports,
    [...new Set(ports)].sort((x, y) => x - y),
  );
  for (const server of [...servers.map((listening) => listening.server), twice]) server.close();
});

test('More listeners than fit one answer are all listed', { skip }, async () => {
  const servers = await Promise.all(Array.from({ length: 600 }, () => listen('127.0.0.1')));
  const ports = new Set(listeningPorts());
  assert.deepEqual(
    servers.filter(({ port }) => !ports.has(port)),
    [],
  );
  for (const { server } of servers) server.close();
});

test('Both sources know address, user and socket of a listener', { skip }, async () => {
  const uid = process.getuid?.();
  const hosts = [
    '127.0.0.9',
    '0.0.0.0',
    ...((await listen('::1').then(
      ({ server }) => server.close(),
      () => undefined,
    ))
      ? ['::1', '::']
      : []),
  ];
  for (const host of hosts) {
    const { server, port } = await listen(host);
    const expected = [{ address: address(host), port, uid }];
    const here = (listener: Listener): boolean => listener.port === port;
    const listed = listenersFromProc().filter(here);
    assert.deepEqual(
      listed.map(({ inode, ...rest }) => rest),
      expected,
    );
    const asked = listenersFromDiag();
    if (asked) assert.deepEqual(asked.filter(here), listed);
    server.close();
  }
});

test('A port is public only by a listener that is reached and that no plain user can have made', () => {
  const HERE = [address('192.0.2.1'), address('2001:db8::1')];
  const isPublic = (host: string, port: number, uid: number): boolean =>
    publicListeners([{ address: address(host), port, uid }], HERE).length > 0;
  for (const host of ['192.0.2.1', '0.0.0.0', '2001:db8::1', '::']) {
    assert.ok(isPublic(host, 8080, 0), `root at ${host}`);
    assert.ok(isPublic(host, 8080, 999), `a system account at ${host}`);
    assert.ok(isPublic(host, 443, 1000), `below 1024 at ${host}`);
    assert.ok(!isPublic(host, 8080, 1000), `a user at ${host}`);
    assert.ok(!isPublic(host, 1024, 65_534), `nobody at ${host}`);
  }
  for (const host of ['127.0.0.1', '127.0.0.53', '::1', '192.0.2.2']) assert.ok(!isPublic(host, 22, 0), host);
});

test('What a user listens on is no public port', {
  skip: skip || (process.getuid?.() !== 0 && 'needs root'),
}, async () => {
  const own = await listen('127.0.0.1');
  process.seteuid?.(12_345);
  const users = await listen('127.0.0.1').finally(() => process.seteuid?.(0));
  const ports = publicPorts([address('127.0.0.1')]);
  assert.ok(ports.includes(own.port));
  assert.ok(!ports.includes(users.port));
  assert.ok(listeningPorts().includes(users.port));
  for (const { server } of [own, users]) server.close();
});

for (const [name, read] of Object.entries({
  'socket diagnostics': () => portsOf(listenersFromDiag('udp')),
  '/proc': () => portsOf(listenersFromProc('udp')),
  both: () => portsInUse().flatMap(({ protocol, port }) => (protocol === 'udp' ? [port] : [])),
})) {
  const absent = skip || (name === 'socket diagnostics' && listenersFromDiag('udp') === undefined && 'needs sock_diag');
  test(`A UDP port is in use while a socket without a peer is bound to it (${name})`, { skip: absent }, async () => {
    const [bound, tied] = [createSocket('udp4').bind(0, '127.0.0.1'), createSocket('udp4')];
    await once(bound, 'listening');
    tied.connect(bound.address().port, '127.0.0.1');
    await once(tied, 'connect');
    const ports = read();
    assert.ok(ports.includes(bound.address().port));
    assert.ok(!ports.includes(tied.address().port));
    tied.close();
    bound.close();
    await once(bound, 'close');
  });
}
