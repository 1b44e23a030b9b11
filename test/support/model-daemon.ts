/**
 * The daemon without a process, a packet socket or a kernel: the real engine, messages, keeper, grants, bans and account of strangers, joined as
 * the watcher and the warden join them, over a firewall and a state that outlive it. `kill` leaves everything as it lies.
 */

import type { Address } from '../../src/core/address.ts';
import type { Door } from '../../src/core/door.ts';
import { Engine } from '../../src/core/engine.ts';
import type { KnockEvent } from '../../src/core/events.ts';
import type { HistoryEvent } from '../../src/core/history.ts';
import { decodeOrder, decodeReport, encodeOrder, encodeReport, type Order } from '../../src/core/messages.ts';
import type { Packet } from '../../src/core/packet.ts';
import type { DoorPolicy } from '../../src/core/policy.ts';
import type { Sighting } from '../../src/core/sightings.ts';
import { admit } from '../../src/keeper/admission.ts';
import { DueCloses } from '../../src/keeper/due-closes.ts';
import { Grants } from '../../src/keeper/grants.ts';
import { Keeper, type KnockedDoor } from '../../src/keeper/keeper.ts';
import { type StrangerSettings, Strangers } from '../../src/keeper/strangers.ts';
import { type LiveSource, TimedSources } from '../../src/keeper/timed-sources.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { ALLOWED, BANS, CLOSES, GRANTS } from '../../src/store/rows.ts';
import type { ManualClock } from './manual-clock.ts';
import type { PretendedFirewall } from './pretended-firewall.ts';

/** What is on the disk. */
export function openModelState() {
  return {
    grants: openMemoryRows(GRANTS),
    closes: openMemoryRows(CLOSES),
    bans: openMemoryRows(BANS),
    allowed: openMemoryRows(ALLOWED),
  };
}

export interface ModelWorld {
  readonly clock: ManualClock;
  readonly firewall: PretendedFirewall;
  readonly state: ReturnType<typeof openModelState>;
  readonly local: readonly Address[];
  readonly publicPorts: readonly number[];
  readonly ban: StrangerSettings['ban'];
}

const IPV6_PREFIX = 64;

export class ModelDaemon {
  readonly grants: Grants;
  readonly #bans: TimedSources;
  readonly #allowed: TimedSources;
  readonly #strangers: Strangers;
  readonly #keeper: Keeper<KnockedDoor>;
  readonly #world: ModelWorld;
  readonly #record = (_: HistoryEvent): void => {};
  readonly #driver: PretendedFirewall;
  #doors: readonly DoorPolicy[];
  #engine: Engine | undefined;
  #knocks: readonly Door[] = [];
  #revisions: readonly number[] = [];
  #lives = true;

  constructor(world: ModelWorld, doors: readonly DoorPolicy[]) {
    this.#world = world;
    this.#doors = doors;
    const { clock, state } = world;
    const driver = world.firewall.connection(() => this.#lives);
    this.#driver = driver;
    const { monotonicNow, wallNow } = clock;
    const after = (delay: number, call: () => void): (() => void) => clock.after(delay, () => this.#lives && call());
    const record = this.#record;
    const another = (): never => {
      throw new Error('there is no other firewall');
    };
    const closes = new DueCloses({ driver, rows: state.closes, another, record, wallNow });
    const ports = { driver, rows: state.grants, closes, record, hook: () => {}, monotonicNow, wallNow, after };
    this.grants = new Grants(ports, () => IPV6_PREFIX);
    const times = { record, ipv6Prefix: () => IPV6_PREFIX, monotonicNow, wallNow, after };
    this.#bans = new TimedSources({
      ...times,
      rows: state.bans,
      put: (ban) => driver.ban(ban),
      take: (source) => driver.unban(source),
      words: { began: 'banned', ended: 'unbanned' },
    });
    this.#allowed = new TimedSources({
      ...times,
      rows: state.allowed,
      put: (allowed) => driver.allow(allowed),
      take: (source) => driver.disallow(source),
      words: { began: 'allowed', ended: 'disallowed' },
    });
    this.#strangers = new Strangers(
      {
        seed: [1, 2],
        bans: this.#bans,
        allowed: this.#allowed,
        grantsOf: (source) => this.grants.doorsOf(source),
        hasSession: () => driver.look(false),
        record,
        wallNow,
      },
      this.#settings(),
    );
    this.#keeper = new Keeper<KnockedDoor>(
      {
        tell: (event) => {
          if (event.type === 'failed') this.#strangers.failed(event.source, event.door);
          else if (event.type === 'sighted') this.#strangers.sighted(event.sighting);
        },
        open: (door, source) => void this.#admit(door.name, source, { via: 'knock' }),
        send: (order) => this.#obey(decodeOrder(encodeOrder(order))),
        sockets: undefined,
        addresses: () => world.local,
        publicPorts: () => world.publicPorts,
        spendOneTime: () => ({ good: false, next: undefined }),
        monotonicNow,
        ended: () => {},
      },
      { ipv6: true, packets: false },
    );
  }

  get bans(): readonly LiveSource[] {
    return this.#bans.live();
  }

  /** As the warden starts. */
  async start(): Promise<void> {
    const firewall = this.#driver;
    const stood = await firewall.install(this.#guard());
    this.grants.configure(this.#doors);
    await this.grants.reconcile(stood);
    const { bans, allowed } = await firewall.list();
    await this.#bans.reconcile(bans, stood);
    await this.#allowed.reconcile(allowed, stood);
    await this.#strangers.settle();
    this.#keeper.configure(knockedDoors(this.#doors));
  }

  async reload(doors: readonly DoorPolicy[]): Promise<void> {
    await this.#driver.install({ ...this.#guard(), doors });
    this.#doors = doors;
    this.grants.configure(doors);
    this.#strangers.configure(this.#settings());
    this.#keeper.configure(knockedDoors(doors));
  }

  /** Somebody else has emptied the firewall, and that was seen. */
  async restore(): Promise<void> {
    await this.#driver.install(this.#guard());
    await this.grants.restore();
    await this.#allowed.restore();
    await this.#bans.restore();
  }

  packet(packet: Packet): void {
    if (this.#engine) this.#report(this.#engine.packet(packet, this.#world.clock.monotonicNow()));
  }

  expire(): void {
    if (this.#engine) this.#report(this.#engine.expire(this.#world.clock.monotonicNow()));
  }

  sighted(sighting: Sighting): void {
    this.#hear(encodeReport({ type: 'sighted', sighting }));
  }

  async hand(door: string, source: Address, duration: number): Promise<void> {
    if (this.#doors.some(({ name }) => name === door)) await this.#admit(door, source, { via: 'hand', duration });
  }

  async ban(source: Address, duration: number): Promise<void> {
    if ((await this.#strangers.safe(source)) === undefined) {
      await this.#bans.put(source, duration, { via: 'hand', reason: '' });
    }
  }

  async unban(source: Address): Promise<void> {
    await this.#bans.end(source, 'by hand');
  }

  watcherDies(): void {
    this.#engine = undefined;
    this.#keeper.greet();
  }

  kill(): void {
    this.#lives = false;
  }

  #admit(door: string, source: Address, how: Parameters<typeof admit>[3]): Promise<unknown> {
    return admit({ visitors: this.#strangers, grants: this.grants, record: this.#record }, door, source, how);
  }

  #settings(): StrangerSettings {
    return {
      trusted: [],
      traps: [],
      doors: this.#doors,
      ban: this.#world.ban,
      ipv6Prefix: IPV6_PREFIX,
      observe: false,
    };
  }

  #guard() {
    return {
      traps: [],
      doors: this.#doors,
      face: 'drop',
      ipv6Prefix: IPV6_PREFIX,
      trusted: [],
      observe: false,
    } as const;
  }

  /** The watcher's side. */
  #obey(order: Order): void {
    if (order.type !== 'configure') return;
    if (!this.#engine || JSON.stringify(order.doors) !== JSON.stringify(this.#knocks)) {
      this.#engine = new Engine(order.doors, { seed: [1, 2], capacity: 1000, perPrefix: 1000 });
      this.#knocks = order.doors;
    }
    this.#revisions = order.revisions;
    this.#engine.setLocalAddresses(order.addresses);
    this.#engine.setPublicPorts(order.publicPorts);
  }

  #report(events: readonly KnockEvent[]): void {
    for (const event of events) {
      this.#hear(encodeReport({ type: 'knock', revision: this.#revisions[event.door] ?? 0, event }));
    }
  }

  #hear(line: string): void {
    const report = decodeReport(line.trimEnd());
    if (!report || report.type === 'alive') throw new Error(`The keeper does not understand ${line}`);
    this.#keeper.hear(report);
  }
}

function knockedDoors(doors: readonly DoorPolicy[]): KnockedDoor[] {
  return doors.flatMap(({ name, knock }) => (knock ? [{ name, knock }] : []));
}
