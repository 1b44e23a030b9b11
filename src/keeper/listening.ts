/**
 * The keeper with everything it listens through: packet sockets or another source, the watcher, and an ear on interfaces and
 * listening ports. What a daemon of any kind is built around.
 */

import type { Address } from '../core/address.ts';
import type { Counts } from '../core/messages.ts';
import { unprivilegedAccount } from '../platform/accounts.ts';
import { monotonicNow } from '../platform/clock.ts';
import { entry } from '../platform/entry.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { listeningPorts } from '../platform/listeners.ts';
import { type ConnectedProgram, startCapture, startConnected } from '../platform/process.ts';
import { watchRoutes } from '../platform/route-monitor.ts';
import { after } from '../platform/timer.ts';
import { CaptureSockets } from './capture-sockets.ts';
import type { KeeperEvent } from './events.ts';
import { Keeper, type KeeperPorts, type KnockedDoor } from './keeper.ts';
import { WatcherProcess } from './watcher-process.ts';

/** Where packets come from: rings of our own, tcpdump, or an open capture file. */
export type Source =
  | { readonly kind: 'ring' | 'tcpdump'; readonly interfaces: readonly string[] }
  | { readonly kind: 'file'; readonly descriptor: number };

export interface ListeningSetup<D extends KnockedDoor> extends Pick<KeeperPorts<D>, 'tell' | 'open' | 'spendOneTime'> {
  readonly source: Source;
  readonly doors: readonly D[];
  readonly ipv6: boolean;
  /** Tell every packet. */
  readonly packets: boolean;
  /** Standard error is not for the watcher: a daemon that leaves its terminal. */
  readonly silent: boolean;
  /** The first watcher is confined and has its orders: a knock may come. */
  readonly ready: () => void;
  /** A watcher died, and another is started. */
  readonly died: (how: string) => void;
  /** Nobody can listen, or the capture file is at its end (then without a reason). */
  readonly over: (reason: string | undefined) => void;
  /** TCP ports whose connections are nobody's stray; those somebody listens on, unless given. */
  readonly publicPorts?: () => readonly number[];
  /** The kernel allows no filter as long as it should be; what it lets through instead. */
  readonly relaxed: (given: readonly string[]) => void;
}

const PUBLIC_PORTS_EVERY = 2000;
/** Watchers that may die before the first one is ready: after that, the start has failed. */
const MOST_STILLBORN = 3;

export class Listening<D extends KnockedDoor> {
  readonly #setup: ListeningSetup<D>;
  readonly #sockets: CaptureSockets | undefined;
  readonly #keeper: Keeper<D>;
  readonly #watcher: WatcherProcess;
  #stillborn = 0;
  #ready = false;
  #close = (): void => {};

  /** Opens the packet sockets: throws a `CaptureError` before anything else has happened. */
  constructor(setup: ListeningSetup<D>) {
    this.#setup = setup;
    const { source, doors, ipv6, packets, tell, open, spendOneTime, publicPorts = listeningPorts } = setup;
    if (source.kind === 'ring') {
      const input = { doors: doors.map((door) => door.knock), publicPorts: publicPorts(), ipv6 };
      this.#sockets = new CaptureSockets(source.interfaces, input, setup.relaxed);
    }
    this.#watcher = new WatcherProcess({
      start: () => startWatcher(source, this.#sockets, setup.silent),
      report: (report) => this.#keeper.hear(report),
      started: () => this.#keeper.instruct(),
      died: (how) => this.#died(how),
      monotonicNow,
      after,
    });
    this.#keeper = new Keeper(
      {
        tell: (event) => this.#told(tell, event),
        open,
        spendOneTime,
        send: (order) => this.#watcher.send(order),
        sockets: this.#sockets,
        addresses: () => (source.kind === 'file' ? 'any' : this.addresses),
        listeningPorts: publicPorts,
        monotonicNow,
        ended: (reason) => (source.kind === 'file' ? setup.over(reason) : this.#watcher.replace()),
      },
      { ipv6, packets },
    );
  }

  get counts(): Counts {
    return this.#keeper.counts;
  }

  get watcherPid(): number | undefined {
    return this.#watcher.pid;
  }

  /** The local addresses, in the system's order. */
  get addresses(): readonly Address[] {
    const { source, ipv6 } = this.#setup;
    return source.kind === 'file' ? [] : source.interfaces.flatMap((name) => addressesOf(name, ipv6));
  }

  start(): void {
    this.#keeper.configure(this.#setup.doors);
    this.#watcher.start();
    const routes = this.#sockets && watchRoutes(() => this.#keeper.networkChanged());
    // Links and addresses may have changed since the sockets were opened.
    this.#keeper.networkChanged();
    const ports = setInterval(() => this.#keeper.refreshPublicPorts(), PUBLIC_PORTS_EVERY);
    this.#close = () => {
      clearInterval(ports);
      routes?.close();
    };
  }

  /** Other doors from now on. */
  configure(doors: readonly D[]): void {
    this.#keeper.configure(doors);
  }

  /** Public ports may have changed with the configuration. */
  refreshPublicPorts(): void {
    this.#keeper.refreshPublicPorts();
  }

  stop(): void {
    this.#close();
    this.#watcher.stop();
    this.#sockets?.close();
  }

  #told(tell: (event: KeeperEvent) => void, event: KeeperEvent): void {
    tell(event);
    if (event.type !== 'confined' || this.#ready) return;
    this.#ready = true;
    this.#setup.ready();
  }

  #died(how: string): void {
    this.#setup.died(how);
    if (this.#ready || ++this.#stillborn < MOST_STILLBORN) return;
    this.#watcher.stop();
    this.#setup.over('the watcher does not start; see the lines above');
  }
}

/** Descriptors 0 to 2 are the usual, 3 is the channel. */
const FIRST_DESCRIPTOR = 4;

/** The watcher with its descriptors: packet sockets, a capture file, or pipes from capture programs that live as long as it does. */
function startWatcher(source: Source, sockets: CaptureSockets | undefined, silent: boolean): ConnectedProgram {
  const pipes = source.kind === 'tcpdump' ? source.interfaces.map((name) => startCapture(tcpdump(name)).output) : [];
  const descriptors = source.kind === 'file' ? [source.descriptor] : (sockets?.descriptors ?? pipes);
  const { uid, gid } = unprivilegedAccount();
  const program = startConnected(
    [
      process.execPath,
      '--disable-sigusr1',
      entry('watcher/confine').script,
      String(process.pid),
      `${uid}:${gid}`,
      sockets ? 'ring' : 'pcap',
      ...descriptors.map((_, index) => String(FIRST_DESCRIPTOR + index)),
    ],
    { descriptors, argv0: 'postern-watcher', silent },
  );
  for (const pipe of pipes) pipe.destroy();
  return program;
}

function tcpdump(name: string): [string, ...string[]] {
  return ['tcpdump', '-i', name, '-n', '-p', '-U', '-s', '256', '-w', '-', 'tcp or udp'];
}
