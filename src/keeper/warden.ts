/**
 * The native daemon without its command line: guard, grants, state, listening and control, put together and kept together.
 *
 * Order of the start: state (and who else has it), guard in the firewall, grants reconciled, packets, control socket. From the
 * guard on the doors are closed, whatever fails after it. Stopping leaves guard and grants as they are.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import {
  type Controlled,
  type DoorShown,
  type GrantStatus,
  type LiveEvent,
  Refusal,
  type SourceStatus,
  type Status,
  type Stranger,
} from '../control/controlled.ts';
import { type Address, printAddress } from '../core/address.ts';
import type { HistoryEntry, HistoryEvent } from '../core/history.ts';
import type { DoorPolicy } from '../core/policy.ts';
import { type FirewallDriver, FirewallError } from '../firewall/driver.ts';
import { openDriver } from '../firewall/drivers.ts';
import { monotonicNow, wallNow } from '../platform/clock.ts';
import { publicPorts as publicListeningPorts } from '../platform/listeners.ts';
import { randomSeed } from '../platform/random-seed.ts';
import { after } from '../platform/timer.ts';
import type { State } from '../store/state.ts';
import { type Admission, admit } from './admission.ts';
import { readGuest, readSource } from './asked-source.ts';
import type { StartCaged } from './caged-start.ts';
import { CaptureError } from './capture-sockets.ts';
import { Chronicle, type ChroniclePorts } from './chronicle.ts';
import { describeConfinement } from './confinement-shown.ts';
import { describeDoor, describeGrant, printPorts } from './door-shown.ts';
import { DueCloses } from './due-closes.ts';
import type { KeeperEvent } from './events.ts';
import { Grants } from './grants.ts';
import { historyOf } from './history-of.ts';
import { Hooks } from './hooks.ts';
import { ANOTHER_PREFIX, keepPrefix, withKeptPrefix } from './kept-prefix.ts';
import { Listening } from './listening.ts';
import { type Face, StandingGuard, type StandingGuardPorts } from './standing-guard.ts';
import { Tarpit } from './tarpit.ts';
import { tarpitSystem } from './tarpit-system.ts';
import { Visitors } from './visitors.ts';
import {
  changedFixedParts,
  countDoors,
  doorNamed,
  interfacesOf,
  type NativeDoor,
  nativeDoors,
  openPorts,
  watchedPorts,
  withPrefixOf,
} from './warden-config.ts';
import { describeHalves } from './watcher-shown.ts';

export interface WardenPorts extends Pick<ChroniclePorts, 'say' | 'whisper'>, Pick<StandingGuardPorts, 'face'> {
  readonly driver: FirewallDriver;
  readonly state: State;
  readonly version: string;
  /** Reads the configuration again. Throws a `Refusal` that names every problem. */
  readonly load: () => { readonly config: PosternConfig; readonly warnings: readonly string[] };
  /** A configuration that was loaded is in force. */
  readonly loaded: (config: PosternConfig) => void;
  /** By whom watcher and tarpit are started. */
  readonly startCaged: StartCaged;
  /** For `status`: a configuration on trial, and what else holds at the moment. */
  readonly trial: () => Status['trial'];
  readonly warnings: () => Promise<readonly string[]>;
  /** Nobody can listen any more. */
  readonly over: (reason: string) => void;
}

/** Who listens, where; `ready` when the watcher is shut in and reads. */
interface Ears {
  readonly listening: Listening<NativeDoor>;
  readonly interfaces: readonly string[];
  readonly ready: Promise<void>;
}

export class Warden implements Controlled {
  readonly #ports: WardenPorts;
  readonly #grants: Grants;
  readonly #visitors: Visitors;
  readonly #tarpit: Tarpit;
  readonly #guard: StandingGuard;
  readonly #chronicle: Chronicle;
  readonly #born = monotonicNow();
  readonly #started: PosternConfig;
  #config: PosternConfig;
  #ears: Ears | undefined;
  #confinement = 'starting';
  #restarts = 0;

  constructor(ports: WardenPorts, asked: PosternConfig) {
    const config = withKeptPrefix(ports.state.facts, asked);
    this.#ports = ports;
    this.#started = asked;
    this.#config = config;
    const { say, whisper, driver, face } = ports;
    this.#chronicle = new Chronicle({ history: ports.state.history, say, whisper });
    const { record } = this;
    const hooks = new Hooks(record, () => this.#ipv6Prefix);
    this.#grants = new Grants(
      {
        driver: ports.driver,
        rows: ports.state.grants,
        closes: new DueCloses({ driver: ports.driver, rows: ports.state.closes, another: openDriver, record, wallNow }),
        record,
        hook: (door, when, grant) => hooks.run(door, when, grant),
        monotonicNow,
        wallNow,
        after,
      },
      () => this.#ipv6Prefix,
    );
    this.#visitors = new Visitors(
      {
        driver: ports.driver,
        state: ports.state,
        grantsOf: (source) => this.#grants.doorsOf(source),
        record,
        seed: randomSeed(),
        monotonicNow,
        wallNow,
        after,
      },
      config,
    );
    this.#tarpit = new Tarpit({ warn: this.#warn, system: tarpitSystem(ports.startCaged), monotonicNow, after });
    const refill = async (): Promise<void> => {
      await this.#grants.restore();
      await this.#visitors.restore();
    };
    this.#guard = new StandingGuard({ driver, tarpit: this.#tarpit, face, refill, record, after }, config);
  }

  /** Closes the doors, brings grants back, listens. Resolves when the first knock may come; rejects when the firewall refuses. */
  async start(): Promise<void> {
    const { driver } = this.#ports;
    const ears = this.#listen(this.#config);
    this.#ears = ears;
    await this.#guard.begin(async (stood) => {
      this.#grants.configure(this.#config.doors);
      await this.#grants.reconcile(stood);
      await this.#visitors.reconcile(await driver.list(), stood);
      if (this.#config !== this.#started) await this.#changePrefix();
      keepPrefix(this.#ports.state.facts, this.#config);
    });
    await this.#hearWith(ears);
    const where = ears.interfaces.join(' ');
    this.record({ type: 'started', detail: `${countDoors(this.#config)}, ${driver.name}, ${where}` });
  }

  /** Ends our part; doors stay closed, and open ones to their time. */
  async stop(): Promise<void> {
    await this.#guard.end();
    this.#ears?.listening.stop();
    this.#grants.release();
    this.#visitors.release();
    this.record({ type: 'stopped' });
    await this.#ports.driver.stop();
    this.#ports.state.close();
  }

  /** When the watcher last answered, by the monotonic clock: for the watchdog. */
  get watcherAnsweredAt(): number | undefined {
    return this.#ears?.listening.watcherAnsweredAt;
  }

  /** What closed ports answer, as it was found out when the guard in force was made. */
  get face(): Face {
    return this.#guard.face;
  }

  async status(): Promise<Status> {
    const warnings = await this.#ports.warnings();
    const now = monotonicNow();
    const trial = this.#ports.trial();
    const problems = [this.#ports.state.problem(), this.#tarpit.problem];
    return {
      version: this.#ports.version,
      uptime_ms: Math.round(now - this.#born),
      firewall: this.#ports.driver.name,
      doors: this.#config.doors.map((door) => ({
        name: door.name,
        protect: door.protect.map(printPorts),
        grants: this.#grants.live(door.name).map((grant) => describeGrant(grant, now, this.#ipv6Prefix)),
      })),
      mode: this.#config.mode,
      ...this.#visitors.standing(),
      ...describeHalves(this.#ears?.listening, this.#restarts, this.#confinement),
      ...this.#tarpit.standing(),
      ...(trial && { trial }),
      warnings: [...warnings, ...problems.filter((text) => text !== undefined)],
    };
  }

  async show(name: string): Promise<DoorShown> {
    return describeDoor(this.#door(name));
  }

  async open(name: string, source: string, duration: number | undefined, user?: string): Promise<GrantStatus> {
    this.#door(name);
    const how = {
      via: 'hand',
      ...(user !== undefined && { user }),
      ...(duration !== undefined && { duration }),
    } as const;
    const opening = await this.#admit(name, readGuest(source, this.#ipv6Prefix), how);
    if ('opened' in opening) return describeGrant(opening.opened, monotonicNow(), this.#ipv6Prefix);
    throw new Refusal(`Cannot open "${name}" for ${source}: ${opening.detail ?? opening.denied}`);
  }

  async close(name: string, source: string | undefined, user?: string): Promise<number> {
    this.#door(name);
    const reason = 'by hand';
    try {
      if (source === undefined) return await this.#grants.closeAll(name, reason, user);
      return Number(await this.#grants.close(name, readSource(source, this.#ipv6Prefix), reason, user));
    } catch (error) {
      if (error instanceof FirewallError) throw new Refusal(error.message);
      throw error;
    }
  }

  ban(source: string, duration: number | undefined, user?: string): Promise<SourceStatus> {
    return this.#visitors.ban(source, duration, user);
  }

  unban(source: string, user?: string): Promise<boolean> {
    return this.#visitors.unban(source, user);
  }

  allow(source: string, duration: number | undefined, user?: string): Promise<SourceStatus> {
    return this.#visitors.allow(source, duration, user);
  }

  disallow(source: string, user?: string): Promise<boolean> {
    return this.#visitors.disallow(source, user);
  }

  async attackers(limit = 100): Promise<readonly Stranger[]> {
    return this.#visitors.strangers(limit);
  }

  reload(): Promise<{ readonly doors: number; readonly warnings: readonly string[] }> {
    return this.#guard.inTurn(async () => {
      const { config: read, warnings } = this.#ports.load();
      const config = withPrefixOf(this.#started, read);
      const ears = this.#listenElsewhere(config);
      try {
        await this.#guard.replace(config);
      } catch (error) {
        ears?.listening.stop();
        throw error;
      }
      this.#config = config;
      this.#ports.loaded(config);
      this.#grants.configure(config.doors);
      this.#visitors.configure(config);
      if (ears) await this.#hearWith(ears);
      this.#ears?.listening.configure(nativeDoors(config));
      this.#ears?.listening.refreshPublicPorts();
      this.record({ type: 'reloaded', detail: countDoors(config) });
      const later = changedFixedParts(this.#started, read);
      const note = later.length > 0 ? [`takes effect with the next start: ${later.join(', ')}`] : [];
      return { doors: config.doors.length, warnings: [...warnings, ...note] };
    });
  }

  namesOf(source: string): readonly string[] {
    const address = readSource(source, this.#ipv6Prefix);
    return [address, this.#grants.placeOf(address)].map(printAddress);
  }

  async log(query: Parameters<Controlled['log']>[0]): Promise<readonly HistoryEntry[]> {
    const { limit = 100, ...rest } = query;
    const entries = this.#ports.state.history.latest(rest, Math.min(limit, 10_000)).toReversed();
    // A door that is gone may have a past; one that never was is a slip.
    if (entries.length === 0 && query.door !== undefined) this.#door(query.door);
    return entries;
  }

  follow(heard: (event: LiveEvent) => void): () => void {
    return this.#chronicle.follow(heard);
  }

  /** Where a configuration is to be listened to, if that is elsewhere than now. */
  #listenElsewhere(config: PosternConfig): Ears | undefined {
    if (!this.#ears || interfacesOf(config).join() === this.#ears.interfaces.join()) return undefined;
    try {
      return this.#listen(config);
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      throw new Refusal(`${error.plain}: the old configuration is in force`);
    }
  }

  /** Ends listening with the others, if there are any; resolves when a knock may come. What has come meanwhile waits in the rings. */
  async #hearWith(ears: Ears): Promise<void> {
    if (this.#ears !== ears) this.#ears?.listening.stop();
    this.#ears = ears;
    ears.listening.start();
    await ears.ready;
  }

  /** From here on packets of these interfaces wait to be looked at. Throws a `CaptureError`. */
  #listen(config: PosternConfig): Ears {
    const interfaces = interfacesOf(config);
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const listening = new Listening<NativeDoor>({
      source: { kind: process.platform === 'linux' ? 'ring' : 'tcpdump', interfaces },
      startCaged: this.#ports.startCaged,
      doors: nativeDoors(config),
      ipv6: true,
      packets: false,
      tell: (event) => this.#hear(event),
      open: (door, source) => void this.#admit(door.name, source, { via: 'knock' }),
      spendOneTime: () => ({ good: false, next: undefined }),
      publicPorts: (addresses) =>
        openPorts(publicListeningPorts(addresses), this.#config).filter((port) => port !== this.#tarpit.port),
      watched: () => watchedPorts(this.#config),
      ready: resolve,
      died: (how) => {
        this.#restarts++;
        this.#warn(`the watcher ${how}, another was started`);
      },
      complained: (line) => this.#warn(`watcher: ${line}`),
      over: (reason) => this.#ports.over(reason ?? 'the capture ended'),
      relaxed: (given) => this.#warn(`the capture filter is relaxed: ${given.join(', ')}`),
    });
    return { listening, interfaces, ready };
  }

  /** What stands is ended under the length that it was made with. */
  async #changePrefix(): Promise<void> {
    await this.#grants.endNetworks(ANOTHER_PREFIX);
    await this.#visitors.endNetworks(ANOTHER_PREFIX);
    await this.#guard.replace(this.#started);
    this.#config = this.#started;
    this.#visitors.configure(this.#config);
  }

  get #ipv6Prefix(): number {
    return this.#config.firewall.ipv6Prefix;
  }

  #admit(door: string, source: Address, how: Parameters<typeof admit>[3]): Promise<Admission> {
    return admit({ visitors: this.#visitors, grants: this.#grants, record: this.record }, door, source, how);
  }

  #hear(event: KeeperEvent): void {
    const entry = historyOf(event);
    if (entry) this.record(entry);
    switch (event.type) {
      case 'advanced': {
        const of = this.#config.doors.find((door) => door.name === event.door)?.knock?.steps.length ?? 0;
        const source = printAddress(event.source);
        const { door, stage } = event;
        return this.#chronicle.stage({ kind: 'stage', time: wallNow(), door, source, stage, of });
      }
      case 'failed':
      case 'expired':
        return this.#visitors.failed(event.source, event.door, event.type === 'expired');
      case 'sighted':
        return this.#visitors.sighted(event.sighting);
      case 'confined': {
        this.#confinement = describeConfinement(event.confinement);
        if (event.changed) for (const note of event.confinement.notes) this.#warn(`watcher: ${note}`);
        return;
      }
      default:
        return;
    }
  }

  /** Writes an event down, and tells whoever follows. */
  readonly record = (event: HistoryEvent): void => this.#chronicle.record(event);

  readonly #warn = (detail: string): void => this.record({ type: 'warned', detail });

  #door(name: string): DoorPolicy {
    return doorNamed(name, this.#config);
  }
}
