/**
 * What has to be closed by us, since the firewall's kernel does not: written before a door opens, taken out when it is closed, whatever
 * becomes of grant, door and configuration meanwhile. Where the kernel ends grants, nothing is written.
 *
 * At start, what is overdue is closed at once, and so is what belongs to a door that is gone. What another driver has opened goes with that
 * driver's guard, which is removed altogether: ours stands already.
 */

import { type Address, parseAddress, printAddress } from '../core/address.ts';
import type { HistoryEvent } from '../core/history.ts';
import type { FirewallDriver } from '../firewall/driver.ts';
import { timeLeft } from '../store/due.ts';
import type { CloseRow, CloseRows } from '../store/rows.ts';

export interface DueClosesPorts {
  readonly driver: FirewallDriver;
  readonly rows: CloseRows;
  /** Another driver, by its name. Throws where there is none. */
  readonly another: (name: string) => FirewallDriver;
  readonly record: (event: HistoryEvent) => void;
  readonly wallNow: () => number;
}

export class DueCloses {
  readonly #ports: DueClosesPorts;

  constructor(ports: DueClosesPorts) {
    this.#ports = ports;
  }

  /** A door is about to open, or to stay open, for so long. The result puts back what was written before. */
  opening(door: string, source: Address, remaining: number): () => void {
    const { driver, rows, wallNow } = this.#ports;
    if (driver.expires) return () => {};
    const key = { door, source: printAddress(source) };
    const earlier = rows.get(key);
    rows.put({ ...key, driver: driver.name, due: wallNow() + remaining, longest: remaining });
    return () => {
      if (earlier) rows.put(earlier);
      else rows.end(key);
    };
  }

  closed(door: string, source: Address): void {
    if (!this.#ports.driver.expires) this.#ports.rows.end({ door, source: printAddress(source) });
  }

  /** Milliseconds that a door may stay open; `Infinity` when nothing was written. */
  left(door: string, source: Address): number {
    const row = this.#ports.rows.get({ door, source: printAddress(source) });
    return row === undefined ? Number.POSITIVE_INFINITY : timeLeft(row.due, row.longest, this.#ports.wallNow());
  }

  /** Once at start, after the guard was installed for `doors`. What fails is told and stays written. */
  async settle(doors: ReadonlySet<string>): Promise<void> {
    const { driver, rows, wallNow } = this.#ports;
    const all = rows.all();
    for (const name of new Set(all.map((row) => row.driver))) {
      if (name !== driver.name)
        await this.#leave(
          name,
          all.filter((row) => row.driver === name),
        );
    }
    for (const row of all) {
      if (row.driver !== driver.name) continue;
      if (doors.has(row.door) && timeLeft(row.due, row.longest, wallNow()) > 0) continue;
      const source = parseAddress(row.source);
      await this.#try(row, async () => {
        if (source) await driver.close(row.door, source);
        rows.end(row);
      });
    }
  }

  async #leave(name: string, rows: readonly CloseRow[]): Promise<void> {
    const [first] = rows;
    if (first === undefined) return;
    await this.#try(first, async () => {
      const other = this.#ports.another(name);
      await other.remove();
      await other.stop();
      for (const row of rows) this.#ports.rows.end(row);
    });
  }

  async #try({ door, source, driver }: CloseRow, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const detail = `it is still open by ${driver}: ${(error as Error).message}`;
      this.#ports.record({ type: 'warned', door, source, detail });
    }
  }
}
