/**
 * The tarpit as the keeper has it: its listening sockets, the confined process that accepts from them, and what that process tells.
 *
 * - In two steps, around the installation of the guard: `prepare` takes the port, so that the guard leads nobody into somebody else's service;
 *   `commit` lets connections in, once the guard closes the port for everybody who is not banned. A port that cannot be had is told, and
 *   banned sources are dropped: doors do not wait for it.
 * - The sockets outlive the process: while another one is started, connections wait in the kernel's short queue.
 */

import { type PosternConfig, type TarpitSettings, tarpitPort } from '../config/postern-config.ts';
import type { TarpitStatus } from '../control/controlled.ts';
import { Allowance } from '../core/allowance.ts';
import type { PitCounts, PitLimits } from '../core/pit.ts';
import { decodeTarpitReport, type TarpitReport } from '../core/tarpit-messages.ts';
import { SystemError } from '../platform/libc.ts';
import { CagedProcess } from './caged-process.ts';
import { Complaints } from './complaints.ts';
import { describeConfinement } from './confinement-shown.ts';
import type { TarpitSystem } from './tarpit-system.ts';

export interface TarpitPorts {
  readonly warn: (detail: string) => void;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  readonly system: TarpitSystem;
}

interface Place {
  readonly descriptors: readonly number[];
  readonly settings: TarpitSettings;
  readonly ipv6Prefix: number;
}

type Process = CagedProcess<Exclude<TarpitReport, { readonly type: 'alive' }>>;

const NONE: PitCounts = { held: 0, total: 0, turnedAway: 0 };
/** A process that keeps dying is told of a few times at once, then every five minutes; what it writes meanwhile is two screens full. */
const DEATHS_TOLD = { perSecond: 1 / 300, burst: 5 };
const COMPLAINTS_TOLD = { perSecond: 1 / 300, burst: 50 };

export class Tarpit {
  readonly #ports: TarpitPorts;
  readonly #system: TarpitSystem;
  readonly #complaints: Complaints;
  readonly #deathsTold = new Allowance(DEATHS_TOLD);
  #place: Place | undefined;
  /** What `commit` puts in force. */
  #next: Place | undefined;
  #process: Process | undefined;
  #problem: string | undefined;
  /** Of the process that runs, and of all before it. */
  #counts = NONE;
  #before = NONE;
  #restarts = 0;
  #confinement = 'starting';

  constructor(ports: TarpitPorts) {
    this.#ports = ports;
    this.#system = ports.system;
    const { warn, monotonicNow } = ports;
    const told = new Allowance(COMPLAINTS_TOLD);
    const say = (line: string): void => {
      if (told.take(monotonicNow())) warn(`tarpit: ${line}`);
    };
    this.#complaints = new Complaints({ say, monotonicNow });
  }

  /** The port that is taken, for now or from the next `commit` on. */
  get port(): number | undefined {
    return this.#next?.settings.port;
  }

  /** Why there is none although there should be one. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The port as a guard has it; to be spread. */
  guarded(): { readonly tarpit?: number } {
    return this.port === undefined ? {} : { tarpit: this.port };
  }

  /** For `status`; to be spread. */
  standing(): { readonly tarpit?: TarpitStatus } {
    if (this.#place === undefined) return {};
    const { port, connections } = this.#place.settings;
    const tarpit: TarpitStatus = {
      port,
      pid: this.#process?.pid,
      restarts: this.#restarts,
      held: this.#counts.held,
      connections,
      total: this.#before.total + this.#counts.total,
      turned_away: this.#before.turnedAway + this.#counts.turnedAway,
      confinement: this.#confinement,
    };
    return { tarpit };
  }

  /** Takes the port of a configuration, if it asks for one. */
  prepare(config: PosternConfig): void {
    const { ipv6Prefix } = config.firewall;
    this.abandon();
    this.#problem = undefined;
    const settings = tarpitPort(config) === undefined ? undefined : config.tarpit;
    if (settings === undefined) {
      this.#next = undefined;
    } else if (settings.port === this.#place?.settings.port) {
      this.#next = { descriptors: this.#place.descriptors, settings, ipv6Prefix };
    } else {
      try {
        this.#next = { descriptors: this.#system.bind(settings.port), settings, ipv6Prefix };
      } catch (error) {
        this.#next = undefined;
        this.#problem = `Cannot listen on tcp/${settings.port} for the tarpit, banned sources are dropped: ${reasonOf(error)}`;
        this.#ports.warn(this.#problem);
      }
    }
  }

  /** Has a guard put in force, without the tarpit if the firewall does not take it with it: doors do not wait for it. */
  async orWithout<T>(install: () => Promise<T>): Promise<T> {
    try {
      return await install();
    } catch (error) {
      if (this.#next === undefined) throw error;
      this.#release(this.#next);
      this.#next = undefined;
      const installed = await install();
      this.#problem = `The firewall takes no tarpit, banned sources are dropped: ${(error as Error).message}`;
      this.#ports.warn(this.#problem);
      return installed;
    }
  }

  /** The firewall has refused: everything stays as it was. */
  abandon(): void {
    if (this.#next?.descriptors !== this.#place?.descriptors) this.#release(this.#next);
    this.#next = this.#place;
  }

  /** The guard stands: connections may come, those of an earlier configuration are over. */
  commit(): void {
    const [before, place] = [this.#place, this.#next];
    if (JSON.stringify(before) === JSON.stringify(place)) return;
    this.#place = place;
    this.#stopProcess();
    if (before?.descriptors !== place?.descriptors) {
      this.#release(before);
      if (place) this.#system.listen(place.descriptors);
    }
    if (place) this.#startProcess(place);
  }

  /** Ends it; was there anything to end? The guard has to be told. */
  end(): boolean {
    this.abandon();
    const place = this.#place;
    this.#stopProcess();
    this.#release(place);
    this.#place = this.#next = undefined;
    return place !== undefined;
  }

  #startProcess({ descriptors, settings, ipv6Prefix }: Place): void {
    const { monotonicNow, after } = this.#ports;
    const { connections, perSource, every, duration } = settings;
    const limits: PitLimits = { connections, perSource, every, duration, ipv6Prefix };
    const process: Process = new CagedProcess({
      start: () => this.#system.start(descriptors, limits, this.#complaints),
      decode: decodeTarpitReport,
      report: (report) => this.#hear(report),
      started: () => {},
      died: (how) => this.#died(how),
      monotonicNow,
      after,
    });
    this.#process = process;
    process.start();
  }

  #stopProcess(): void {
    this.#process?.stop();
    this.#process = undefined;
    this.#buryCounts();
  }

  #hear(report: Exclude<TarpitReport, { readonly type: 'alive' }>): void {
    if (report.type === 'held') {
      this.#counts = report.counts;
      return;
    }
    const described = describeConfinement(report.confinement);
    if (described === this.#confinement) return;
    this.#confinement = described;
    for (const note of report.confinement.notes) this.#ports.warn(`tarpit: ${note}`);
  }

  #died(how: string): void {
    this.#restarts++;
    this.#buryCounts();
    if (this.#deathsTold.take(this.#ports.monotonicNow())) {
      this.#ports.warn(`the tarpit ${how}, another is started`);
    }
  }

  #buryCounts(): void {
    const { total, turnedAway } = this.#counts;
    this.#before = {
      held: 0,
      total: this.#before.total + total,
      turnedAway: this.#before.turnedAway + turnedAway,
    };
    this.#counts = NONE;
  }

  #release(place: Place | undefined): void {
    for (const descriptor of place?.descriptors ?? []) this.#system.close(descriptor);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof SystemError)) throw error;
  if (error.code !== 'EAFNOSUPPORT') return error.message;
  return 'this service may not use IP sockets (doc/service.md says what a tarpit needs)';
}
