/**
 * The watcher's loop: packets in, engine, reports out. Owns the one timer and the limits on reporting.
 *
 * Openings are always reported. Everything else (stages, time-outs, packets for `-D`) shares two allowances, one for what
 * anybody can cause with one packet and one for what takes a second right step, so that a flood costs lines, not knocks.
 */

import type { CaptureSource, PacketSink } from '../capture/source.ts';
import { printAddress } from '../core/address.ts';
import { Allowance } from '../core/allowance.ts';
import type { Door } from '../core/door.ts';
import { Engine } from '../core/engine.ts';
import type { KnockEvent } from '../core/events.ts';
import type { Order, Report } from '../core/messages.ts';
import type { Drop, DropReason, Packet } from '../core/packet.ts';
import { monotonicNow } from '../platform/clock.ts';
import { after } from '../platform/timer.ts';
import { Lookout } from './lookout.ts';

export interface WatchPorts {
  /** Hands a report on; false when it was dropped. */
  send(report: Report): boolean;
  /** Two random words that key the engine's hash. */
  readonly random: Int32Array;
  /** Time is the packets' own, not the clock's: a capture file. */
  readonly replay: boolean;
}

export class Watch implements PacketSink {
  readonly #ports: WatchPorts;
  readonly #cheap = new Allowance({ perSecond: 200, burst: 1000 });
  readonly #earned = new Allowance({ perSecond: 1000, burst: 5000 });
  readonly #lookout: Lookout;
  #engine: Engine | undefined;
  #doors: Door[] = [];
  #revisions: number[] = [];
  #packets = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #deadline = Number.POSITIVE_INFINITY;
  #replayed = 0;
  #unanswered = 0;
  #suppressed = 0;
  #drops: Partial<Record<DropReason, number>> = {};
  #received = 0;
  #lost = 0;
  #reported = '';

  constructor(ports: WatchPorts) {
    this.#ports = ports;
    this.#lookout = new Lookout({ send: (report) => ports.send(report), random: ports.random, monotonicNow, after });
  }

  obey(order: Order): void {
    switch (order.type) {
      case 'configure': {
        // The same doors again (a reload for another reason) leave half-done knocks alone.
        if (!this.#engine || JSON.stringify(order.doors) !== JSON.stringify(this.#doors)) {
          const [x = 0, y = 0] = this.#ports.random;
          this.#engine = new Engine(order.doors, { seed: [x, y] });
          this.#doors = [...order.doors];
        }
        this.#revisions = [...order.revisions];
        this.#packets = order.packets;
        this.#engine.setLocalAddresses(order.addresses);
        this.#engine.setPublicPorts(order.publicPorts);
        this.#lookout.configure(order);
        return;
      }
      case 'addresses':
        this.#engine?.setLocalAddresses(order.addresses);
        this.#lookout.setLocalAddresses(order.addresses);
        return;
      case 'public-ports':
        this.#engine?.setPublicPorts(order.publicPorts);
        this.#lookout.setPublicPorts(order.publicPorts);
        return;
      case 'read-on':
        this.#unanswered = Math.max(0, this.#unanswered - 1);
        return;
      case 'ping':
        this.#ports.send({ type: 'alive', number: order.number });
        return;
      case 'door':
        this.#engine?.replaceDoor(order.index, order.door.steps.length > 0 ? order.door : undefined);
        this.#revisions[order.index] = order.revision;
        this.#doors[order.index] = order.door;
        return;
    }
  }

  packet(packet: Packet | Drop, time: number, frameLength: number): void {
    if ('drop' in packet) {
      this.#drops[packet.drop] = (this.#drops[packet.drop] ?? 0) + 1;
      return;
    }
    const now = this.#now(time);
    if (this.#packets) this.#reportPacket(packet, time, frameLength, now);
    if (!this.#ports.replay) this.#lookout.packet(packet, now);
    const events = this.#engine?.packet(packet, now);
    if (events && events.length > 0) this.#reportEvents(events, now);
  }

  /** In a capture file the next knock may stand right behind one that changes a one-time sequence. */
  waits(): boolean {
    return this.#unanswered > 0;
  }

  drained(): void {
    if (!this.#ports.replay) this.#expire();
  }

  ended(reason?: string): void {
    if (this.#engine && this.#ports.replay)
      this.#reportEvents(this.#engine.expire(Number.POSITIVE_INFINITY), this.#replayed);
    this.#ports.send(reason === undefined ? { type: 'ended' } : { type: 'failed', reason });
  }

  /** Adds up what the sources lost and reports the totals when they changed. */
  count(sources: readonly CaptureSource[]): void {
    for (const source of sources) {
      const { received, lost } = source.statistics();
      this.#received += received;
      this.#lost += lost;
    }
    const counts = {
      received: this.#received,
      lost: this.#lost,
      drops: this.#drops,
      suppressed: this.#suppressed,
      attempts: this.#engine?.size ?? 0,
      ...this.#lookout.totals,
    };
    const text = JSON.stringify(counts);
    if (text !== this.#reported && this.#ports.send({ type: 'counts', counts })) this.#reported = text;
  }

  #now(time: number): number {
    if (!this.#ports.replay) return monotonicNow();
    this.#replayed = Math.max(this.#replayed, time);
    if (this.#engine) this.#reportEvents(this.#engine.expire(this.#replayed), this.#replayed);
    return this.#replayed;
  }

  #expire(): void {
    if (!this.#engine) return;
    const now = monotonicNow();
    if (now >= this.#deadline) this.#reportEvents(this.#engine.expire(now), now);
    const deadline = this.#engine.nextDeadline() ?? Number.POSITIVE_INFINITY;
    if (deadline === this.#deadline) return;
    this.#deadline = deadline;
    clearTimeout(this.#timer);
    if (deadline !== Number.POSITIVE_INFINITY) {
      const wait = Math.min(Math.max(0, Math.ceil(deadline - now)), LONGEST_TIMER);
      this.#timer = setTimeout(() => {
        this.#deadline = Number.NEGATIVE_INFINITY;
        this.#expire();
      }, wait);
    }
  }

  #reportEvents(events: readonly KnockEvent[], now: number): void {
    for (const event of events) {
      const revision = this.#revisions[event.door] ?? 0;
      if (event.type === 'opened') this.#lookout.tellOf(event.source);
      const allowed = event.type === 'opened' || (event.stage > 1 ? this.#earned : this.#cheap).take(now);
      if (!allowed || !this.#ports.send({ type: 'knock', revision, event })) this.#suppressed++;
      else if (this.#ports.replay && event.type === 'opened') this.#unanswered++;
    }
  }

  #reportPacket(packet: Packet, time: number, length: number, now: number): void {
    if (!this.#cheap.take(now)) {
      this.#suppressed++;
      return;
    }
    const from = `${printAddress(packet.source)}:${packet.sourcePort}`;
    const to = `${printAddress(packet.destination)}:${packet.destinationPort}`;
    this.#ports.send({ type: 'packet', time, protocol: packet.protocol, from, to, length });
  }
}

const LONGEST_TIMER = 2 ** 31 - 1;
