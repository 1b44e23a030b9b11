/**
 * The tarpit, stage two: takes the connections that the firewall leads here and gives each a line of junk from time to time, before which an
 * SSH client waits for the server to begin. It reads nothing of what they send, and before the first of them comes in it shuts itself in
 * for good: it can accept, send to whom it has accepted, close, and nothing else.
 *
 * Arguments: `UID:GID` to run under, the limits (`PitLimits` as JSON), then the numbers of the listening descriptors. Descriptor 3 is the keeper's channel;
 * when it closes, so does the tarpit. While every place is taken the listeners are not looked at: who comes then waits in the
 * kernel's short queue, and behind that is not answered.
 */

import { Socket } from 'node:net';
import { Allowance } from '../core/allowance.ts';
import { decodeOrder } from '../core/messages.ts';
import { junkLine, Pit, type PitLimits } from '../core/pit.ts';
import { encodeTarpitReport, type TarpitReport } from '../core/tarpit-messages.ts';
import { monotonicNow } from '../platform/clock.ts';
import { close, type ReadableWatch, SystemError, watchReadable } from '../platform/libc.ts';
import { acceptTcp, sendTcp } from '../platform/tcp-listener.ts';
import { after } from '../platform/timer.ts';
import { shutIn } from './shut-in.ts';

/** Connections that are taken, if only to be closed: who connects again and again costs no more than this. */
const TAKEN = { perSecond: 500, burst: 64 };
const REST_MS = 100;
const COUNT_MS = 1000;
/** Of counts that the keeper has not read: it has better things to do. */
const MOST_UNREAD = 65_536;

function main([identity = '', settings = '', ...numbers]: readonly string[]): void {
  const [uid = 0, gid = 0] = identity.split(':').map(Number);
  const limits = JSON.parse(settings) as PitLimits;
  const listeners = numbers.map(Number);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});

  const channel = new Socket({ fd: 3, readable: true, writable: true });
  channel.on('error', () => process.exit(1));
  channel.on('close', () => process.exit(0));
  const send = (report: TarpitReport): void => void channel.write(encodeTarpitReport(report));

  const pit = new Pit(limits);
  junkLine(Math.random);
  const { landlock, seccomp, uid: user, notes } = shutIn(listeners, limits.connections, { uid, gid });

  let watches: readonly ReadableWatch[] = [];
  let cancel = (): void => {};
  const taken = new Allowance(TAKEN);
  let tired = false;
  const arrange = (): void => {
    if (pit.full || tired) {
      for (const watch of watches) watch.close();
      watches = [];
    } else if (watches.length === 0) {
      // Only the end of the listener itself is an error: then there is nothing left to do.
      watches = listeners.map((fd) =>
        watchReadable(
          fd,
          () => take(fd),
          () => process.exit(1),
        ),
      );
    }
    cancel();
    const next = pit.nextDeadline();
    if (next !== undefined) cancel = after(next - monotonicNow(), drip);
  };
  const take = (listener: number): void => {
    try {
      while (!pit.full) {
        const now = monotonicNow();
        if (!taken.take(now)) return rest();
        const found = acceptTcp(listener);
        if (found === undefined) break;
        if (!pit.take(found.descriptor, found.source, now)) close(found.descriptor);
      }
      arrange();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      // No descriptors, no memory: it would be asked again at once, and for ever.
      rest();
    }
  };
  const rest = (): void => {
    tired = true;
    arrange();
    after(REST_MS, () => {
      tired = false;
      arrange();
    });
  };
  const drip = (): void => {
    for (const { descriptor, over } of pit.due(monotonicNow())) {
      if (!over && sendTcp(descriptor, junkLine(Math.random))) continue;
      pit.forget(descriptor);
      close(descriptor);
    }
    arrange();
  };
  arrange();

  let told = '';
  setInterval(() => {
    const counts = encodeTarpitReport({ type: 'held', counts: pit.counts });
    if (counts === told || channel.writableLength > MOST_UNREAD) return;
    told = counts;
    channel.write(counts);
  }, COUNT_MS);

  let unfinished = '';
  channel.setEncoding('utf8');
  channel.on('data', (text: string) => {
    const lines = (unfinished + text).split('\n');
    unfinished = lines.pop() ?? '';
    for (const line of lines) {
      const order = decodeOrder(line);
      if (order.type === 'ping') send({ type: 'alive', number: order.number });
    }
  });
  send({ type: 'ready', confinement: { landlock, seccomp, uid: user, notes } });
}

main(process.argv.slice(2));
