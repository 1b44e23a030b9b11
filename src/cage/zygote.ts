/**
 * The zygote: starts the confined programs for a keeper that has given up the capabilities for it. It is confined as they are when they
 * start: Landlock leaves it our modules and the runtime, and of capabilities it has those that change a user id and end a process of another one.
 * What it starts is born in its cage and shuts itself in for good (`platform/sandbox.ts`).
 *
 * Descriptor 3 is the keeper's socket. It ends with its keeper, and what it has started ends with it.
 */

import {
  decodeZygoteOrder,
  encodeZygoteMessage,
  LONGEST_ZYGOTE_MESSAGE,
  type ZygoteReport,
} from '../core/zygote-messages.ts';
import { receivePacket, sendPacket } from '../platform/descriptor-passing.ts';
import { entry } from '../platform/entry.ts';
import { close, watchReadable } from '../platform/libc.ts';
import { type RunningProgram, startHanded } from '../platform/process.ts';
import { RUNTIME_FLAGS } from '../platform/sandbox.ts';

const SOCKET = 3;

function main(): void {
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});
  const children = new Map<number, RunningProgram>();
  const report = (message: ZygoteReport): void => sendPacket(SOCKET, encodeZygoteMessage(message));

  const obey = (text: string, descriptors: readonly number[]): void => {
    const order = decodeZygoteOrder(text);
    const { number } = order;
    if (order.type === 'kill') return children.get(number)?.kill('SIGKILL');
    const { program, account, args } = order;
    const identity = `${account.uid}:${account.gid}`;
    const argv = [process.execPath, ...RUNTIME_FLAGS, entry(`${program}/main`).script, identity, ...args] as const;
    const child = startHanded(argv, {
      descriptors: [0, 1, ...descriptors],
      argv0: `postern-${program}`,
      uid: account.uid,
    });
    if (child.pid !== undefined) {
      children.set(number, child);
      report({ type: 'started', number, pid: child.pid });
    }
    void child.ended.then((ending) => {
      children.delete(number);
      report({ type: 'ended', number, ending });
    });
  };
  const end = (): never => {
    for (const child of children.values()) child.kill('SIGKILL');
    process.exit(0);
  };
  const read = (): void => {
    for (;;) {
      const packet = receivePacket(SOCKET, LONGEST_ZYGOTE_MESSAGE);
      if (packet === undefined) return;
      if (packet.text === '') end();
      try {
        obey(packet.text, packet.descriptors);
      } finally {
        for (const fd of packet.descriptors) close(fd);
      }
    }
  };
  // A watch that nobody holds is collected.
  const watch = watchReadable(SOCKET, read, end);
  process.on('exit', () => watch.close());
  report({ type: 'ready' });
}

main();
