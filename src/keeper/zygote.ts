/**
 * The keeper's end of its zygote (`src/cage/zygote.ts`), which starts the confined programs once the keeper has given up the capabilities to make
 * somebody else of them. It is started before that, and handed on when the daemon replaces itself.
 *
 * A keeper without its zygote could start no watcher any more: when it is gone, or does not answer, the daemon is over, and whoever supervises it
 * starts both anew. Doors and grants stay as the kernel has them.
 */

import { Socket } from 'node:net';
import {
  decodeZygoteReport,
  encodeZygoteMessage,
  LONGEST_ZYGOTE_MESSAGE,
  type ZygoteOrder,
  type ZygoteReport,
} from '../core/zygote-messages.ts';
import { watcherAccount } from '../platform/accounts.ts';
import { packetPair, pipe, receivePacket, sendPacket, streamPair } from '../platform/descriptor-passing.ts';
import { close, closeOnExec, collectChild, type ReadableWatch, watchReadable } from '../platform/libc.ts';
import { type Ending, startHanded, unstartedConnection } from '../platform/process.ts';
import { type StartCaged, stageOne } from './caged-start.ts';

/** A zygote that runs: our end of its socket, and its process id. */
export interface ZygoteLine {
  readonly descriptor: number;
  readonly pid: number;
}

type After = (delay: number, call: () => void) => () => void;

const PATIENCE = 10_000;
const FAREWELL = 1000;
const FAREWELL_LOOK = 5;
/** Names a zygote to the program that replaces this one: process id of its keeper, descriptor, its own process id. */
const MARK = 'POSTERN_ZYGOTE';

/** Starts a zygote; undefined when it does not come up, for whatever reason. */
export async function startZygote(after: After): Promise<ZygoteLine | undefined> {
  let own: number;
  let theirs: number;
  try {
    [own, theirs] = packetPair();
  } catch {
    return undefined;
  }
  const argv = stageOne('cage/zygote', watcherAccount());
  const zygote = startHanded(argv, { descriptors: ['ignore', 'ignore', 2, theirs], argv0: 'postern-zygote' });
  close(theirs);
  const ready = await answers(own, after);
  if (ready && zygote.pid !== undefined) return { descriptor: own, pid: zygote.pid };
  zygote.kill('SIGKILL');
  close(own);
  return undefined;
}

/** Is the first thing it says that it is ready? */
function answers(descriptor: number, after: After): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (answer: boolean): void => {
      cancel();
      watch.close();
      resolve(answer);
    };
    const cancel = after(PATIENCE, () => settle(false));
    const watch = watchReadable(
      descriptor,
      () => settle(receivePacket(descriptor, LONGEST_ZYGOTE_MESSAGE)?.text === encodeZygoteMessage({ type: 'ready' })),
      () => settle(false),
    );
  });
}

/** Lets the program that replaces this one have the zygote; the environment that tells it so. */
export function handOnZygote({ descriptor, pid }: ZygoteLine): Readonly<Record<string, string>> {
  closeOnExec(descriptor, false);
  return { [MARK]: `${process.pid}:${descriptor}:${pid}` };
}

/** The zygote of the program that this one has replaced. */
export function takeZygote(): ZygoteLine | undefined {
  const [keeper, descriptor, pid] = (process.env[MARK] ?? '').split(':').map(Number);
  delete process.env[MARK];
  if (keeper !== process.pid || descriptor === undefined || pid === undefined) return undefined;
  closeOnExec(descriptor, true);
  return { descriptor, pid };
}

/** It is our child, but perhaps of the program that this one has replaced: nobody else collects it then. */
function hasEnded(pid: number): boolean {
  try {
    return collectChild(pid) !== undefined;
  } catch {
    return true;
  }
}

interface Child {
  /** Hears its process id. */
  readonly started: (pid: number) => void;
  readonly ended: (ending: Ending) => void;
}

export class Zygote {
  readonly pid: number;
  readonly #descriptor: number;
  readonly #after: After;
  readonly #over: (reason: string) => void;
  readonly #watch: ReadableWatch;
  readonly #children = new Map<number, Child>();
  #number = 0;
  #gone = false;

  constructor(
    { descriptor, pid }: ZygoteLine,
    ports: { readonly after: After; readonly over: (reason: string) => void },
  ) {
    this.pid = pid;
    this.#descriptor = descriptor;
    this.#after = ports.after;
    this.#over = ports.over;
    const lost = (): void => this.#lose('The process that starts the watcher is gone');
    this.#watch = watchReadable(descriptor, () => this.#read(lost), lost);
  }

  /** Ends it, and with it all that it has started. */
  close(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#watch.close();
    close(this.#descriptor);
  }

  /** The same; resolves when it has ended, which takes a moment: a service manager is to find nobody left. */
  async end(): Promise<void> {
    this.close();
    for (let waited = 0; !hasEnded(this.pid); waited += FAREWELL_LOOK) {
      if (waited >= FAREWELL) return void process.kill(this.pid, 'SIGKILL');
      await new Promise<void>((resolve) => this.#after(FAREWELL_LOOK, resolve));
    }
  }

  readonly start: StartCaged = (program, { account, args, descriptors: asked }) => {
    const descriptors = asked.filter((descriptor) => typeof descriptor === 'number');
    if (this.#gone || descriptors.length < asked.length)
      return unstartedConnection('there is no descriptor or no process to start it with');
    const number = ++this.#number;
    const opened: number[] = [];
    const [handed, kept]: [number[], number[]] = [[], []];
    try {
      for (const make of [pipe, streamPair]) {
        const [own, theirs] = make();
        opened.push(own, theirs);
        kept.push(own);
        handed.push(theirs);
      }
      this.#send({ type: 'start', number, program, account, args }, [...handed, ...descriptors]);
    } catch (error) {
      for (const fd of opened) close(fd);
      return unstartedConnection((error as Error).message);
    }
    for (const fd of handed) close(fd);
    const [complaints, channel] = kept;
    const { promise: ended, resolve } = Promise.withResolvers<Ending>();
    const cancel = this.#after(PATIENCE, () => this.#lose('The process that starts the watcher does not answer'));
    let known: number | undefined;
    this.#children.set(number, {
      started: (pid) => {
        cancel();
        known = pid;
      },
      ended: (ending) => {
        cancel();
        resolve(ending);
      },
    });
    return {
      /** Not known at once. */
      get pid() {
        return known;
      },
      ended,
      kill: () => this.#kill(number),
      channel: new Socket({ fd: channel, readable: true, writable: true }),
      complaints: new Socket({ fd: complaints, readable: true, writable: false }),
    };
  };

  #kill(number: number): void {
    if (this.#gone || !this.#children.has(number)) return;
    try {
      this.#send({ type: 'kill', number });
    } catch {
      this.#lose('The process that starts the watcher does not listen');
    }
  }

  #send(order: ZygoteOrder, descriptors: readonly number[] = []): void {
    sendPacket(this.#descriptor, encodeZygoteMessage(order), descriptors);
  }

  #read(lost: () => void): void {
    for (;;) {
      const packet = this.#gone ? undefined : receivePacket(this.#descriptor, LONGEST_ZYGOTE_MESSAGE);
      if (packet === undefined) return;
      if (packet.text === '') return lost();
      this.#hear(decodeZygoteReport(packet.text));
    }
  }

  #hear(report: ZygoteReport): void {
    if (report.type === 'ready') return;
    const child = this.#children.get(report.number);
    if (report.type === 'started') return child?.started(report.pid);
    this.#children.delete(report.number);
    child?.ended(report.ending);
  }

  #lose(reason: string): void {
    if (this.#gone) return;
    this.close();
    this.#over(reason);
  }
}
