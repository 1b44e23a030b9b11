/**
 * knockd 0.8's matcher as measured: whole seconds, one list of attempts for the whole daemon, expiry by the next packet, and the bug
 * that loses the whole list when its head goes (switchable). Packets to ports of no door are invisible to it.
 */

import { type Address, sameAddress } from '../../src/core/address.ts';
import { type Door, fitsFlags } from '../../src/core/door.ts';
import type { Packet } from '../../src/core/packet.ts';

interface Attempt {
  readonly door: Door;
  readonly source: Address;
  readonly start: number;
  /** -1 when it has failed. */
  stage: number;
}

export interface Opening {
  readonly door: Door;
  readonly source: Address;
  /** When the attempt started, as `packet` was told. */
  readonly start: number;
}

export class ReferenceKnockd {
  readonly #doors: readonly Door[];
  readonly #local: readonly Address[];
  readonly #losesList: boolean;
  #attempts: Attempt[] = [];

  constructor(doors: readonly Door[], local: readonly Address[], options: { losesList: boolean }) {
    this.#doors = doors;
    this.#local = local;
    this.#losesList = options.losesList;
  }

  /** Does its capture filter pass the packet? */
  sees(packet: Packet): boolean {
    return this.#doors.some((door) => this.#filterPasses(door, packet));
  }

  packet(packet: Packet, now: number): Opening[] {
    if (!this.sees(packet)) return [];
    const openings: Opening[] = [];
    for (const attempt of [...this.#attempts]) {
      const finished = attempt.stage < 0 || attempt.stage >= attempt.door.steps.length;
      const late = Math.floor(now / 1000) - Math.floor(attempt.start / 1000) >= attempt.door.window / 1000;
      if (!finished && !late) continue;
      if (this.#losesList && attempt === this.#attempts[0]) this.#attempts = [];
      else this.#attempts = this.#attempts.filter((other) => other !== attempt);
    }
    const candidates = this.#attempts.filter(
      (attempt) => sameAddress(attempt.source, packet.source) && this.#goesTo(attempt.door, packet),
    );
    for (const attempt of candidates) {
      if (!flagsFit(attempt.door, packet)) continue;
      if (isStep(attempt.door, attempt.stage, packet)) this.#advance(attempt, openings);
      else attempt.stage = -1;
    }
    if (candidates.length > 0) return openings;
    for (const door of this.#doors) {
      if (!this.#goesTo(door, packet) || !flagsFit(door, packet) || !isStep(door, 0, packet)) continue;
      const attempt: Attempt = { door, source: packet.source, start: now, stage: 0 };
      this.#attempts.push(attempt);
      this.#advance(attempt, openings);
    }
    return openings;
  }

  #advance(attempt: Attempt, openings: Opening[]): void {
    attempt.stage += 1;
    const { door, source, start } = attempt;
    if (attempt.stage === door.steps.length) openings.push({ door, source, start });
  }

  #goesTo(door: Door, packet: Packet): boolean {
    const { destination } = packet;
    if (door.target) return sameAddress(door.target, destination);
    return this.#local.some((address) => sameAddress(address, destination));
  }

  #filterPasses(door: Door, packet: Packet): boolean {
    const named = door.steps.some((_, index) => isStep(door, index, packet));
    return named && this.#goesTo(door, packet) && flagsFit(door, packet);
  }
}

function flagsFit(door: Door, packet: Packet): boolean {
  return packet.protocol === 'udp' || fitsFlags(door.tcpFlags, packet.flags);
}

function isStep(door: Door, index: number, packet: Packet): boolean {
  const step = door.steps[index];
  return step !== undefined && step.protocol === packet.protocol && step.port === packet.destinationPort;
}
