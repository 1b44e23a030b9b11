import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { test } from 'node:test';
import { listeningPorts, portsFromDiag, portsFromProc } from '../../src/platform/listeners.ts';

const skip = process.platform !== 'linux' && 'needs Linux';

async function listen(host: string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  return { server, port: address.port };
}

const SOURCES = { 'socket diagnostics': () => portsFromDiag() ?? [], '/proc': portsFromProc, both: listeningPorts };

for (const [name, read] of Object.entries(SOURCES)) {
  const absent = skip || (name === 'socket diagnostics' && portsFromDiag() === undefined && 'needs sock_diag');
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
