/**
 * The guard in the firewall, from one configuration to the next: put in force, with the tarpit that belongs to it, and put back at once, as
 * often as it takes, when somebody else has removed it. What touches it happens one after another. A guard that the firewall refuses changes nothing.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import { Refusal } from '../control/controlled.ts';
import type { HistoryEvent } from '../core/history.ts';
import type { FirewallDriver, Guard } from '../firewall/driver.ts';
import type { Tarpit } from './tarpit.ts';
import { guardOf } from './warden-config.ts';

/** What a closed port looks like here. */
export type Face = Pick<Guard, 'face' | 'closed'>;

export interface StandingGuardPorts {
  readonly driver: FirewallDriver;
  readonly tarpit: Tarpit;
  /** Looked for at the start and at each reload: after a flush, this host's rules would tell nothing about it. */
  readonly face: (config: PosternConfig) => Promise<Face>;
  /** The guard is back: what else the kernel has lost with it. */
  readonly refill: () => Promise<void>;
  readonly record: (event: HistoryEvent) => void;
  readonly after: (delay: number, call: () => void) => () => void;
}

const RESTORE_AGAIN = 1000;

export class StandingGuard {
  readonly #ports: StandingGuardPorts;
  #config: PosternConfig;
  #face: Face = { face: 'drop' };
  #watch: { close(): void } | undefined;
  /** Installations, one after another. */
  #installing: Promise<unknown> = Promise.resolve();
  #lost = false;
  #lostTold = false;
  #stopped = false;

  constructor(ports: StandingGuardPorts, config: PosternConfig) {
    this.#ports = ports;
    this.#config = config;
  }

  /** Closes the doors, then does `fill` before anybody else has a turn; `stood`: a guard of ours was there. */
  async begin(fill: (stood: boolean) => Promise<void>): Promise<void> {
    const { driver, tarpit, face } = this.#ports;
    this.#face = await face(this.#config);
    // From before the installation on, so that nobody removes the guard in between.
    this.#watch = driver.watch(() => this.#restore());
    tarpit.prepare(this.#config);
    await this.inTurn(async () => {
      const stood = await tarpit.orWithout(() => driver.install(this.#guard()));
      tarpit.commit();
      await fill(stood);
    });
  }

  /** What the guard in force was made with: another object each time that this host was asked anew. */
  get face(): Face {
    return this.#face;
  }

  /** Does something while nobody installs. */
  inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#installing.then(act);
    this.#installing = turn.catch(() => {});
    return turn;
  }

  /** Puts the guard of another configuration in force, in a turn of the caller's. Rejects with a `Refusal` when the firewall refuses. */
  async replace(config: PosternConfig): Promise<void> {
    const { driver, tarpit } = this.#ports;
    const face = await this.#ports.face(config);
    tarpit.prepare(config);
    try {
      await driver.install(this.#guard(config, face));
    } catch (error) {
      tarpit.abandon();
      const why = (error as Error).message;
      throw new Refusal(`The firewall refused the new configuration, the old one is in force: ${why}`);
    }
    tarpit.commit();
    this.#config = config;
    this.#face = face;
  }

  /** The guard stays, without the tarpit: nobody is there any more to hold its connections. */
  async end(): Promise<void> {
    this.#stopped = true;
    this.#watch?.close();
    const { driver, tarpit } = this.#ports;
    if (tarpit.end()) await this.inTurn(() => driver.install(this.#guard())).catch(() => {});
  }

  #guard(config: PosternConfig = this.#config, face: Face = this.#face): Guard {
    return { ...guardOf(config), ...this.#ports.tarpit.guarded(), ...face };
  }

  #restore(): void {
    if (this.#lost || this.#stopped) return;
    this.#lost = true;
    const { driver, refill, record, after } = this.#ports;
    void this.inTurn(async () => {
      this.#lost = false;
      try {
        await driver.install(this.#guard());
        await refill();
        record({ type: 'restored' });
        this.#lostTold = false;
      } catch (error) {
        const detail = `the guard was removed and cannot be put back: ${(error as Error).message}`;
        if (!this.#lostTold) record({ type: 'warned', detail });
        this.#lostTold = true;
        after(RESTORE_AGAIN, () => this.#restore());
      }
    });
  }
}
