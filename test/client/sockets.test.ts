/** The sockets on loopback; what leaves on the wire is test/e2e/knock-client.test.ts. */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { openSockets } from '../../src/client/sockets.ts';

const LOOPBACK = { to: { address: '127.0.0.1', family: 4 }, from: undefined } as const;

/** A loopback TCP port where nothing listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

for (const hold of [0, 25]) {
  test(`a TCP hit on a closed port succeeds: the refusal is an answer (socket held ${hold} ms)`, async () => {
    await openSockets(hold).hit({ protocol: 'tcp', port: await closedPort() }, LOOPBACK);
  });

  test(`a TCP hit on an open port connects and closes without a byte (socket held ${hold} ms)`, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const received = new Promise<number>((resolve) => {
      server.on('connection', (socket) => {
        socket.on('error', () => {});
        socket.resume().on('close', () => resolve(socket.bytesRead));
      });
    });
    await openSockets(hold).hit({ protocol: 'tcp', port: (server.address() as AddressInfo).port }, LOOPBACK);
    assert.equal(await received, 0);
    server.close();
  });

  test(`a hit from an address that is not ours is rejected (socket held ${hold} ms)`, async () => {
    const route = { ...LOOPBACK, from: '192.0.2.1' };
    for (const protocol of ['tcp', 'udp'] as const) {
      await assert.rejects(openSockets(hold).hit({ protocol, port: 9 }, route), { code: 'EADDRNOTAVAIL' });
    }
  });
}

test('a UDP hit is one datagram with one zero byte, from the source asked for', async () => {
  const receiver = createSocket('udp4').bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const message = once(receiver, 'message');
  await openSockets().hit({ protocol: 'udp', port: receiver.address().port }, { ...LOOPBACK, from: '127.0.0.1' });
  const [bytes, from] = await message;
  assert.deepEqual([...bytes], [0]);
  assert.equal(from.address, '127.0.0.1');
  receiver.close();
});
