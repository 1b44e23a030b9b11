/**
 * The unprivileged half, stage two: reads packets, runs the knock engine, proposes to the keeper. It starts nothing, opens
 * nothing and knows no command. Before the first packet is looked at it shuts itself in for good (`platform/sandbox.ts`).
 *
 * Arguments: `UID:GID` to run under, `ring`, `tcpdump` or `file`, then the numbers of the inherited descriptors. Descriptor 3 is the keeper's channel; when it
 * closes, so does the watcher. SIGHUP and the interactive signals are the keeper's business and ignored here.
 */

import { Socket } from 'node:net';
import { readPcap } from '../capture/pcap-source.ts';
import { readRing } from '../capture/ring.ts';
import type { CaptureSource } from '../capture/source.ts';
import { decodeOrder, type Order, type Report } from '../core/messages.ts';
import { monotonicNow } from '../platform/clock.ts';
import { confine } from '../platform/sandbox.ts';
import { after } from '../platform/timer.ts';
import { Outbox } from './outbox.ts';
import { Watch } from './watch.ts';

function main(argv: readonly string[]): void {
  const [identity = '', kind, ...numbers] = argv;
  const [uid = 0, gid = 0] = identity.split(':').map(Number);
  const descriptors = numbers.map(Number);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});

  const channel = new Socket({ fd: 3, readable: true, writable: true });
  channel.on('error', () => process.exit(1));
  channel.on('close', () => process.exit(0));
  const outbox = new Outbox({
    write: (text) => channel.write(text),
    unread: () => channel.writableLength,
    monotonicNow,
    after,
  });
  const send = (report: Report): boolean => outbox.send(report);

  const watch = new Watch({ send, random: crypto.getRandomValues(new Int32Array(2)), replay: kind === 'file' });
  const sources: CaptureSource[] = [];
  const pipe = kind === 'ring' ? [] : descriptors.map((fd) => readPcap(fd, kind === 'file', watch));

  const confinement = confine({ packetDescriptors: kind === 'ring' ? descriptors : [], account: { uid, gid } });

  const start = (): void => {
    sources.push(...(kind === 'ring' ? descriptors.map((fd) => readRing(fd, watch)) : pipe.map((begin) => begin())));
    setInterval(() => watch.count(sources), COUNT_MS).unref();
    const { landlock, seccomp, uid: user, notes } = confinement;
    send({ type: 'ready', confinement: { landlock, seccomp, uid: user, notes } });
  };

  let rest = '';
  channel.setEncoding('utf8');
  channel.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const order: Order = decodeOrder(line);
      watch.obey(order);
      if (order.type === 'configure' && sources.length === 0) start();
      if (order.type === 'read-on') for (const source of sources) source.readOn?.();
    }
  });
}

const COUNT_MS = 1000;

main(process.argv.slice(2));
