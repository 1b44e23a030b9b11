/**
 * The keeper with everything it listens through: packet sockets or another source, the watcher, and an ear on interfaces and
 * listening ports. What a daemon of any kind is built around.
 */

import type { Address } from '../core/address.ts';
import { type Counts, decodeReport, type News } from '../core/messages.ts';
import { watcherAccount } from '../platform/accounts.ts';
import { monotonicNow } from '../platform/clock.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { publicPorts as publicListeningPorts } from '../platform/listeners.ts';
import { type ConnectedProgram, feedProgram, type RunningProgram, startCapture } from '../platform/process.ts';
import { watchRoutes } from '../platform/route-monitor.ts';
import { after } from '../platform/timer.ts';
import { CagedProcess } from './caged-process.ts';
import { FIRST_DESCRIPTOR, type StartCaged } from './caged-start.ts';
import { CaptureError, CaptureSockets } from './capture-sockets.ts';
import { Complaints } from './complaints.ts';
import type { KeeperEvent } from './events.ts';
import { Keeper, type KeeperPorts, type KnockedDoor } from './keeper.ts';

/** Where packets come from: rings of our own, tcpdump, or an open capture file. */
export type Source =
  | { readonly kind: 'ring' | 'tcpdump'; readonly interfaces: readonly string[] }
  | { readonly kind: 'file'; readonly descriptor: number };

export interface ListeningSetup<D extends KnockedDoor>
  extends Pick<KeeperPorts<D>, 'tell' | 'open' | 'spendOneTime' | 'watched'> {
  readonly source: Source;
  /** By whom the watcher is started. */
  readonly startCaged: StartCaged;
  readonly doors: readonly D[];
  readonly ipv6: boolean;
  /** Tell every packet. */
  readonly packets: boolean;
  /** The first watcher is confined, has its orders and reads. */
  readonly ready: () => void;
  /** A watcher died, and another is started. */
  readonly died: (how: string) => void;
  /** The watcher wrote a line to its standard error: printable, and not too many of them. */
  readonly complained: (line: string) => void;
  /** Nobody can listen, or the capture file is at its end (then without a reason). */
  readonly over: (reason: string | undefined) => void;
  /** TCP ports whose connections to these addresses are nobody's stray; those with a public listener, unless given. */
  readonly publicPorts?: (addresses: readonly Address[]) => readonly number[];
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
  readonly #watcher: CagedProcess<News>;
  readonly #complaints: Complaints;
  #stillborn = 0;
  #ready = false;
  #close = (): void => {};

  /** Opens the packet sockets: throws a `CaptureError` before anything else has happened. */
  constructor(setup: ListeningSetup<D>) {
    this.#setup = setup;
    const { source, doors, ipv6, packets, tell, open, spendOneTime } = setup;
    if (source.kind === 'ring') {
      const input = { doors: doors.map((door) => door.knock), publicPorts: this.#publicPorts(), ipv6 };
      this.#sockets = new CaptureSockets(source.interfaces, input, setup.relaxed);
    }
    this.#complaints = new Complaints({ say: setup.complained, monotonicNow });
    this.#watcher = new CagedProcess<News>({
      start: () => startWatcher(setup, this.#sockets, this.#complaints),
      decode: decodeReport,
      report: (report) => this.#keeper.hear(report),
      started: () => this.#keeper.greet(),
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
        publicPorts: () => this.#publicPorts(),
        watched: setup.watched,
        monotonicNow,
        ended: (reason) => (source.kind === 'file' ? setup.over(reason) : this.#watcher.replace()),
      },
      { ipv6, packets, replay: source.kind === 'file' },
    );
  }

  get counts(): Counts {
    return this.#keeper.counts;
  }

  get watcherPid(): number | undefined {
    return this.#watcher.pid;
  }

  /** When the watcher last answered, by the monotonic clock. */
  get watcherAnsweredAt(): number | undefined {
    return this.#watcher.answeredAt;
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

  /** Who listens on this machine says nothing about a capture file. */
  #publicPorts(): readonly number[] {
    const { source, publicPorts = publicListeningPorts } = this.#setup;
    return source.kind === 'file' ? [] : publicPorts(this.#sockets?.addresses ?? this.addresses);
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

const TCPDUMP_LIMITS = { timeout: 10_000, limit: 4096 };

/** Can tcpdump listen there? Throws a `CaptureError` with its reason; other sources say so themselves. */
export async function tryCapture({ kind, ...source }: Source): Promise<void> {
  if (kind !== 'tcpdump' || !('interfaces' in source)) return;
  for (const name of source.interfaces) {
    const { ending, complaints } = await feedProgram(['tcpdump', '-i', name, '-L'], '', TCPDUMP_LIMITS);
    if ('status' in ending && ending.status === 0) continue;
    const said = complaints
      .replace(/^tcpdump: /, '')
      .replaceAll(/\s*\n\s*/g, ' ')
      .trim();
    const words = said.startsWith(`${name}: `) ? said.slice(name.length + 2) : said;
    throw new CaptureError(name, 'failed' in ending ? `cannot start tcpdump: ${ending.failed}` : words);
  }
}

/** The watcher with its descriptors: packet sockets, a capture file, or pipes from capture programs, which end with it. */
function startWatcher(
  { source, startCaged }: Pick<ListeningSetup<KnockedDoor>, 'source' | 'startCaged'>,
  sockets: CaptureSockets | undefined,
  complaints: Complaints,
): ConnectedProgram {
  const captures = source.kind === 'tcpdump' ? source.interfaces.map((name) => startCapture(tcpdump(name))) : [];
  const pipes = captures.map((capture) => capture.output);
  const descriptors = source.kind === 'file' ? [source.descriptor] : (sockets?.descriptors ?? pipes);
  const numbers = descriptors.map((_, index) => String(FIRST_DESCRIPTOR + index));
  const program = startCaged('watcher', { account: watcherAccount(), args: [source.kind, ...numbers], descriptors });
  complaints.read(program.complaints);
  return captures.length === 0 ? program : endingTogether(program, captures);
}

/** The capture programs end with whom they capture for, instead of with the next packet that they cannot write. */
export function endingTogether<P extends RunningProgram>(
  program: P,
  captures: readonly ReturnType<typeof startCapture>[],
): P {
  for (const { output } of captures) output?.destroy();
  const end = (): void => {
    for (const capture of captures) capture.kill('SIGKILL');
  };
  void program.ended.then(end);
  const kill = (signal: NodeJS.Signals): void => {
    program.kill(signal);
    if (signal === 'SIGKILL') end();
  };
  return { ...program, kill };
}

function tcpdump(name: string): [string, ...string[]] {
  return ['tcpdump', '-i', name, '-n', '-p', '-U', '-s', '256', '-w', '-', 'tcp or udp'];
}
