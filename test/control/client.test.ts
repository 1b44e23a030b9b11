/** The client, before what is not the daemon it expects. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControlError, connectControl } from '../../src/control/client.ts';
import type { WireEvent } from '../../src/control/wire-event.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

interface Pretending extends AsyncDisposable {
  readonly path: string;
}

async function pretend(answer: (socket: Socket) => void): Promise<Pretending> {
  const folder = temporaryFolder();
  const path = join(folder.path, 'control.sock');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    answer(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      server.close();
      folder[Symbol.dispose]();
    },
  };
}

const onRequest = (text: string) => (socket: Socket) => void socket.on('data', () => socket.write(text));

async function problemOf(answer: (socket: Socket) => void): Promise<ControlError> {
  await using at = await pretend(answer);
  using client = await connectControl(at.path);
  const error: unknown = await client.status().catch((reason: unknown) => reason);
  assert.ok(error instanceof ControlError);
  return error;
}

for (const [name, text] of [
  ['another version', '{"v":2,"ok":true,"result":{}}\n'],
  ['another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
  ['half an answer', '{"v":1}\n'],
  ['no object', 'null\n'],
] as const) {
  test(`\`connectControl()\` tells ${name} from the daemon`, async () => {
    const { problem, message, hint } = await problemOf(onRequest(text));
    assert.deepEqual(
      [problem, message, hint],
      ['lost', 'What answers at the socket speaks something else', 'Daemon and command have to be of the same version'],
    );
  });
}

test('a request fails when the daemon hangs up, and so does the next', async () => {
  await using at = await pretend((socket) => socket.on('data', () => socket.destroy()));
  using client = await connectControl(at.path);
  await assert.rejects(client.status(), /^ControlError: The daemon ended the connection$/);
  await assert.rejects(client.reload(), /^ControlError: The daemon ended the connection$/);
});

test('a daemon that does not answer is waited for so long and no longer, and that is said', async () => {
  await using at = await pretend(() => {});
  using client = await connectControl(at.path, 20);
  const error: unknown = await client.open('ssh', '192.0.2.7').catch((reason: unknown) => reason);
  assert.ok(error instanceof ControlError);
  assert.equal(error.message, 'The daemon has not answered for 0.02 seconds');
  assert.match(error.hint ?? '', /stopped, stuck or very busy/);
  await client.ended;
});

test('who is turned away hears why', async () => {
  const refusal = '{"v":1,"ok":false,"error":"Too many connections: 64 at most"}\n';
  assert.equal((await problemOf(onRequest(refusal))).message, 'Too many connections: 64 at most');
  await using at = await pretend((socket) => void socket.end(refusal));
  using client = await connectControl(at.path);
  await client.ended;
  await assert.rejects(client.status(), /Too many connections/);
});

test('answers that come in pieces, and events among them, are told apart', async () => {
  const wire =
    '{"v":1,"ok":true,"result":null}\n{"v":1,"event":{"type":"started"}}\n{"v":1,"ok":true,"result":{"closed":3}}\n';
  const heard: WireEvent[] = [];
  await using at = await pretend((socket) => {
    socket.once('data', () => {
      for (const byte of Buffer.from(wire)) socket.write(Uint8Array.of(byte));
    });
  });
  using client = await connectControl(at.path);
  const followed = client.follow({}, (event) => heard.push(event));
  const closed = client.close('ssh');
  await followed;
  assert.deepEqual(await closed, { closed: 3 });
  assert.deepEqual(heard, [{ type: 'started' }]);
});
