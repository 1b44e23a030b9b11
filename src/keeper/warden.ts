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
import { type HistoryEntry, type HistoryEvent, isByHand } from '../core/history.ts';
import type { DoorPolicy } from '../core/policy.ts';
import { type FirewallDriver, FirewallError, type Guard } from '../firewall/driver.ts';
import { openDriver } from '../firewall/drivers.ts';
import { monotonicNow, wallNow } from '../platform/clock.ts';
import { publicPorts as publicListeningPorts } from '../platform/listeners.ts';
import { randomSeed } from '../platform/random-seed.ts';
import { after } from '../platform/timer.ts';
import type { State } from '../store/state.ts';
import { type Admission, admit } from './admission.ts';
import { readGuest, readSource } from './asked-source.ts';
import type { StartCaged } from './caged-start.ts';
import { describeConfinement } from './confinement-shown.ts';
import { describeDoor, describeGrant, printPorts } from './door-shown.ts';
import { DueCloses } from './due-closes.ts';
import type { KeeperEvent } from './events.ts';
import { Grants } from './grants.ts';
import { historyOf } from './history-of.ts';
import { Hooks } from './hooks.ts';
import { Listening } from './listening.ts';
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

export interface WardenPorts {
  readonly driver: FirewallDriver;
  readonly state: State;
  readonly version: string;
  /** Every event that is recorded, for the log; as it was recorded, too. */
  readonly say: (event: HistoryEvent, entry: HistoryEntry) => void;
  /** Debugging: what is not recorded. */
  readonly whisper: (stage: Extract<LiveEvent, { readonly kind: 'stage' }>) => void;
  /** Reads the configuration again. Throws a `Refusal` that names every problem. */
  readonly load: () => { readonly config: PosternConfig; readonly warnings: readonly string[] };
  /** A configuration that was loaded is in force. */
  readonly loaded: (config: PosternConfig) => void;
  readonly face: (config: PosternConfig) => Promise<Face>;
  /** By whom watcher and tarpit are started. */
  readonly startCaged: StartCaged;
  /** For `status`: a configuration on trial, and what else holds at the moment. */
  readonly trial: () => Status['trial'];
  readonly warnings: () => Promise<readonly string[]>;
  /** Nobody can listen any more. */
  readonly over: (reason: string) => void;
}

const RESTORE_AGAIN = 1000;

type Face = Pick<Guard, 'face' | 'closed'>;

export class Warden implements Controlled {
  readonly #ports: WardenPorts;
  readonly #grants: Grants;
  readonly #visitors: Visitors;
  readonly #tarpit: Tarpit;
  readonly #listeners = new Set<(event: LiveEvent) => void>();
  readonly #born = monotonicNow();
  readonly #started: PosternConfig;
  #config: PosternConfig;
  /** Looked for at the start and at each reload: after a flush, this host's rules would tell nothing about it. */
  #face: Face = { face: 'drop' };
  #listening: Listening<NativeDoor> | undefined;
  #watch: { close(): void } | undefined;
  /** Installations of the guard, one after another. */
  #installing: Promise<unknown> = Promise.resolve();
  #lost = false;
  #lostTold = false;
  #stopped = false;
  #confinement = 'starting';
  #restarts = 0;

  constructor(ports: WardenPorts, config: PosternConfig) {
    this.#ports = ports;
    this.#started = config;
    this.#config = config;
    const { record } = this;
    const hooks = new Hooks(record, () => this.#config.firewall.ipv6Prefix);
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
      () => this.#config.firewall.ipv6Prefix,
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
  }

  /** Closes the doors, brings grants back, listens. Resolves when the first knock may come; rejects when the firewall refuses. */
  async start(): Promise<void> {
    const { driver } = this.#ports;
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const interfaces = interfacesOf(this.#config);
    this.#listening = new Listening<NativeDoor>({
      source: { kind: process.platform === 'linux' ? 'ring' : 'tcpdump', interfaces },
      startCaged: this.#ports.startCaged,
      doors: nativeDoors(this.#config),
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
    this.#face = await this.#ports.face(this.#config);
    // From before the installation on, so that nobody removes the guard in between.
    this.#watch = driver.watch(() => this.#restore());
    this.#tarpit.prepare(this.#config);
    await this.#inTurn(async () => {
      const stood = await this.#tarpit.orWithout(() => driver.install(this.#guard()));
      this.#tarpit.commit();
      this.#grants.configure(this.#config.doors);
      await this.#grants.reconcile(stood);
      await this.#visitors.reconcile(await driver.list(), stood);
    });
    this.#listening.start();
    await ready;
    this.record({
      type: 'started',
      detail: `${countDoors(this.#config)}, ${driver.name}, ${interfaces.join(' ')}`,
    });
  }

  /** Ends our part; doors stay closed, and open ones to their time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch?.close();
    // Nobody is there any more to hold them.
    if (this.#tarpit.end()) await this.#inTurn(() => this.#ports.driver.install(this.#guard())).catch(() => {});
    this.#listening?.stop();
    this.#grants.release();
    this.#visitors.release();
    this.record({ type: 'stopped' });
    await this.#ports.driver.stop();
    this.#ports.state.close();
  }

  /** When the watcher last answered, by the monotonic clock: for the watchdog. */
  get watcherAnsweredAt(): number | undefined {
    return this.#listening?.watcherAnsweredAt;
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
        grants: this.#grants
          .live(door.name)
          .map((grant) => describeGrant(grant, now, this.#config.firewall.ipv6Prefix)),
      })),
      mode: this.#config.mode,
      ...this.#visitors.standing(),
      ...describeHalves(this.#listening, this.#restarts, this.#confinement),
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
    const opening = await this.#admit(name, readGuest(source, this.#config.firewall.ipv6Prefix), how);
    if ('opened' in opening) return describeGrant(opening.opened, monotonicNow(), this.#config.firewall.ipv6Prefix);
    throw new Refusal(`Cannot open "${name}" for ${source}: ${opening.detail ?? opening.denied}`);
  }

  async close(name: string, source: string | undefined, user?: string): Promise<number> {
    this.#door(name);
    const reason = 'by hand';
    try {
      if (source === undefined) return await this.#grants.closeAll(name, reason, user);
      return Number(await this.#grants.close(name, readSource(source), reason, user));
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
    return this.#inTurn(async () => {
      const { config: read, warnings } = this.#ports.load();
      const config = withPrefixOf(this.#started, read);
      const face = await this.#ports.face(config);
      this.#tarpit.prepare(config);
      try {
        await this.#ports.driver.install(this.#guard(config, face));
      } catch (error) {
        this.#tarpit.abandon();
        const why = (error as Error).message;
        throw new Refusal(`The firewall refused the new configuration, the old one is in force: ${why}`);
      }
      this.#tarpit.commit();
      this.#config = config;
      this.#face = face;
      this.#ports.loaded(config);
      this.#grants.configure(config.doors);
      this.#visitors.configure(config);
      this.#listening?.configure(nativeDoors(config));
      this.#listening?.refreshPublicPorts();
      this.record({ type: 'reloaded', detail: countDoors(config) });
      const later = changedFixedParts(this.#started, read);
      const note = later.length > 0 ? [`takes effect with the next start: ${later.join(', ')}`] : [];
      return { doors: config.doors.length, warnings: [...warnings, ...note] };
    });
  }

  namesOf(source: string): readonly string[] {
    return [source, printAddress(this.#grants.placeOf(readSource(source)))];
  }

  async log(query: Parameters<Controlled['log']>[0]): Promise<readonly HistoryEntry[]> {
    const { limit = 100, ...rest } = query;
    const entries = this.#ports.state.history.latest(rest, Math.min(limit, 10_000)).toReversed();
    // A door that is gone may have a past; one that never was is a slip.
    if (entries.length === 0 && query.door !== undefined) this.#door(query.door);
    return entries;
  }

  follow(heard: (event: LiveEvent) => void): () => void {
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  #guard({ doors, firewall, allow, mode }: PosternConfig = this.#config, face: Face = this.#face): Guard {
    const observe = mode === 'observe';
    return { doors, ipv6Prefix: firewall.ipv6Prefix, trusted: allow, observe, ...this.#tarpit.guarded(), ...face };
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#installing.then(act);
    this.#installing = turn.catch(() => {});
    return turn;
  }

  #admit(door: string, source: Address, how: Parameters<typeof admit>[3]): Promise<Admission> {
    return admit({ visitors: this.#visitors, grants: this.#grants, record: this.record }, door, source, how);
  }

  /** Somebody removed the guard: back it goes, at once and as often as it takes. */
  #restore(): void {
    if (this.#lost || this.#stopped) return;
    this.#lost = true;
    void this.#inTurn(async () => {
      this.#lost = false;
      try {
        await this.#ports.driver.install(this.#guard());
        await this.#grants.restore();
        await this.#visitors.restore();
        this.record({ type: 'restored' });
        this.#lostTold = false;
      } catch (error) {
        if (!this.#lostTold) this.#warn(`the guard was removed and cannot be put back: ${(error as Error).message}`);
        this.#lostTold = true;
        after(RESTORE_AGAIN, () => this.#restore());
      }
    });
  }

  #hear(event: KeeperEvent): void {
    const entry = historyOf(event);
    if (entry) this.record(entry);
    switch (event.type) {
      case 'advanced': {
        const of = this.#config.doors.find((door) => door.name === event.door)?.knock?.steps.length ?? 0;
        const source = printAddress(event.source);
        const stage = { kind: 'stage', time: wallNow(), door: event.door, source, stage: event.stage, of } as const;
        this.#ports.whisper(stage);
        this.#tell(stage);
        return;
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
  readonly record = (event: HistoryEvent): void => {
    const entry = this.#ports.state.history.append(event);
    if (isByHand(event)) this.#ports.state.history.flush();
    this.#ports.say(event, entry);
    this.#tell({ kind: 'history', entry });
  };

  readonly #warn = (detail: string): void => this.record({ type: 'warned', detail });

  #tell(event: LiveEvent): void {
    for (const heard of this.#listeners) heard(event);
  }

  #door(name: string): DoorPolicy {
    return doorNamed(name, this.#config);
  }
}
