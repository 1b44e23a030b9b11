/**
 * The knock engine's rules once more, as plainly as they can be said: arrays, objects, and a walk over everything for each packet.
 * It knows no prefixes. The real engine has to tell the same events in the same order.
 */

import { type Address, printAddress, sameAddress } from '../../src/core/address.ts';
import { type Door, fitsFlags, isBareSyn, type Step } from '../../src/core/door.ts';
import type { KnockEvent } from '../../src/core/events.ts';
import type { Packet } from '../../src/core/packet.ts';

interface Attempt {
  readonly door: number;
  readonly source: Address;
  stage: number;
  start: number;
  strays: number;
  lastStray: string;
  firstPacket: string;
  lastPacket: string;
  told: boolean;
  /** Place in the order of starting, and in the order of progress. */
  started: number;
  progressed: number;
}

type Verdict = 'matched' | 'repeat' | 'stray' | 'nothing';

export class ReferenceEngine {
  readonly counters = {
    packets: 0,
    foreign: 0,
    matched: 0,
    repeats: 0,
    strays: 0,
    ignored: 0,
    started: 0,
    restarted: 0,
    opened: 0,
    expired: 0,
    failed: 0,
    evicted: 0,
    merged: 0,
    forgotten: 0,
  };
  #doors: (Door | undefined)[];
  #capacity: number;
  #local: readonly Address[] | 'any' = [];
  #public: readonly number[] = [];
  #attempts: Attempt[] = [];
  #serial = 0;
  #now = Number.NEGATIVE_INFINITY;

  constructor(doors: readonly Door[], options: { capacity: number }) {
    this.#doors = [...doors];
    this.#capacity = options.capacity;
  }

  get size(): number {
    return this.#attempts.length;
  }

  setLocalAddresses(addresses: readonly Address[] | 'any'): void {
    this.#local = addresses;
  }

  setPublicPorts(ports: readonly number[]): void {
    this.#public = ports;
  }

  replaceDoor(index: number, door: Door | undefined): void {
    for (const attempt of this.#of(index)) {
      if (!this.#isOpening(attempt)) this.counters.forgotten += 1;
      this.#remove(attempt);
    }
    this.#doors[index] = door;
  }

  nextDeadline(): number | undefined {
    const deadlines = this.#attempts.map((attempt) => attempt.start + this.#doors[attempt.door]!.window);
    return deadlines.length === 0 ? undefined : Math.min(...deadlines);
  }

  expire(now: number): KnockEvent[] {
    this.#now = Math.max(this.#now, now);
    const events: KnockEvent[] = [];
    for (const index of this.#doors.keys()) this.#expire(this.#of(index), events);
    return events;
  }

  packet(packet: Packet, now: number): KnockEvent[] {
    this.#now = Math.max(this.#now, now);
    this.counters.packets += 1;
    const events: KnockEvent[] = [];
    const isLocal = this.#local === 'any' || this.#local.some((address) => sameAddress(address, packet.destination));
    const isTarget = this.#doors.some((door) => door?.target && sameAddress(door.target, packet.destination));
    if (!isLocal && !isTarget) {
      this.counters.foreign += 1;
      return events;
    }
    const verdicts: Verdict[] = [];
    const silentBefore = this.#attempts.filter((attempt) => !attempt.told);
    const known = new Set(this.#attempts);
    for (const [index, door] of this.#doors.entries()) {
      if (!door) continue;
      if (door.target ? !sameAddress(door.target, packet.destination) : !isLocal) continue;
      if (packet.protocol === 'tcp' && !fitsFlags(door.tcpFlags, packet.flags)) continue;
      this.#knock(index, door, packet, events, verdicts);
    }
    const completed = events.some((event) => event.type === 'opened' && this.#doors[event.door]!.steps.length > 1);
    if (completed) {
      // Told as nobody's first step: it was somebody's last.
      const isBeginning = (event: KnockEvent): boolean =>
        event.type === 'advanced' && event.stage === 1 && this.#doors[event.door]!.steps.length > 1;
      for (const event of events.filter(isBeginning)) events.splice(events.indexOf(event), 1);
      for (const attempt of this.#attempts) {
        const wasTold = known.has(attempt) && !silentBefore.includes(attempt);
        if (attempt.stage === 1 && !wasTold) attempt.told = false;
      }
    }
    if (verdicts.includes('matched')) this.counters.matched += 1;
    else if (verdicts.includes('repeat')) this.counters.repeats += 1;
    else if (verdicts.includes('stray')) this.counters.strays += 1;
    else this.counters.ignored += 1;
    while (this.#attempts.length > this.#capacity) {
      this.#evict([...this.#attempts].sort((x, y) => x.progressed - y.progressed)[0]!, events);
    }
    return events;
  }

  #knock(index: number, door: Door, packet: Packet, events: KnockEvent[], verdicts: Verdict[]): void {
    const { source } = packet;
    const mine = (): Attempt[] => this.#of(index).filter((attempt) => sameAddress(attempt.source, source));
    this.#expire(mine(), events);

    // A number of 0 is no kernel's: a script that gives it to every packet means each of them.
    const print = packet.sequence === 0 ? undefined : `${packet.sourcePort} ${packet.sequence}`;
    const isRetransmission = mine().some(
      (attempt) => isStep(door.steps[attempt.stage - 1]!, packet) && attempt.lastPacket === print,
    );
    if (isRetransmission) {
      verdicts.push('repeat');
      return;
    }
    const isOldBeginning = mine().some((attempt) => !this.#isOpening(attempt) && attempt.firstPacket === print);

    let told = false;
    const tell = (attempt: Attempt): void => {
      verdicts.push('matched');
      if (!told) {
        attempt.told = true;
        events.push({ type: 'advanced', door: index, source, stage: attempt.stage });
      }
      told = true;
    };
    const open = (attempt: Attempt): void => {
      events.push({ type: 'opened', door: index, source });
      this.counters.opened += 1;
      for (const other of mine()) {
        if (other === attempt) continue;
        if (!this.#isOpening(other)) this.counters.forgotten += 1;
        this.#remove(other);
      }
      // Only a last packet that looks like a first step could do something when it is sent again.
      if (packet.protocol === 'tcp' && isStep(door.steps[0]!, packet)) this.#restart(attempt);
      else this.#remove(attempt);
    };

    for (const attempt of mine()) {
      if (this.#isOpening(attempt)) continue;
      if (isStep(door.steps[attempt.stage]!, packet)) {
        attempt.stage += 1;
        attempt.lastPacket = print ?? '';
        attempt.progressed = ++this.#serial;
        tell(attempt);
        if (attempt.stage === door.steps.length) {
          open(attempt);
          return;
        }
        const elder = mine().find((other) => other.started < attempt.started && other.stage === attempt.stage);
        if (elder) {
          this.counters.merged += 1;
          this.#remove(elder);
        }
      } else if (door.steps.slice(0, attempt.stage).some((step) => isStep(step, packet))) {
        verdicts.push('repeat');
      } else if (this.#isStray(packet)) {
        verdicts.push('stray');
        const port = `${packet.protocol} ${packet.destinationPort}`;
        const early = door.steps.slice(attempt.stage).some((step) => isStep(step, packet));
        if (attempt.lastStray === port && !early) continue;
        attempt.lastStray = port;
        attempt.strays += 1;
        if (attempt.strays > door.strays || early) {
          const reason = early ? 'order' : 'strays';
          if (attempt.told) events.push({ type: 'failed', door: index, source, stage: attempt.stage, reason });
          this.counters.failed += 1;
          this.#remove(attempt);
        }
      }
    }

    if (!isStep(door.steps[0]!, packet) || isOldBeginning) return;
    const atStart = mine().find((attempt) => attempt.stage === 1 && !this.#isOpening(attempt));
    if (atStart) {
      this.#restart(atStart);
      atStart.firstPacket = atStart.lastPacket = print ?? '';
      this.counters.restarted += 1;
      tell(atStart);
      return;
    }
    const attempt: Attempt = {
      door: index,
      source,
      stage: 1,
      start: this.#now,
      strays: 0,
      lastStray: '',
      firstPacket: print ?? '',
      lastPacket: print ?? '',
      told: false,
      started: ++this.#serial,
      progressed: this.#serial,
    };
    this.#attempts.push(attempt);
    this.counters.started += 1;
    tell(attempt);
    if (door.steps.length === 1) {
      open(attempt);
      return;
    }
    const first = door.steps[0]!;
    const ofOneRun = door.steps.filter((step, place) => place < door.steps.length - 1 && sameStep(step, first)).length;
    const candidates = mine().filter((other) => !this.#isOpening(other));
    if (candidates.length > Math.max(4, ofOneRun)) this.#evict(candidates[0]!, events);
  }

  #isStray(packet: Packet): boolean {
    const isAnyStep = this.#doors.some((door) => door?.steps.some((step) => isStep(step, packet)));
    if (packet.protocol === 'udp') return isAnyStep;
    return isBareSyn(packet.flags) && (isAnyStep || !this.#public.includes(packet.destinationPort));
  }

  #of(door: number): Attempt[] {
    return this.#attempts.filter((attempt) => attempt.door === door).sort((x, y) => x.started - y.started);
  }

  #isOpening(attempt: Attempt): boolean {
    return attempt.stage === this.#doors[attempt.door]!.steps.length;
  }

  #restart(attempt: Attempt): void {
    attempt.start = this.#now;
    attempt.strays = 0;
    attempt.lastStray = '';
    attempt.started = attempt.progressed = ++this.#serial;
  }

  #expire(candidates: readonly Attempt[], events: KnockEvent[]): void {
    for (const attempt of candidates) {
      const { door, source, stage } = attempt;
      if (this.#now < attempt.start + this.#doors[door]!.window) continue;
      if (!this.#isOpening(attempt)) {
        this.counters.expired += 1;
        if (attempt.told) events.push({ type: 'expired', door, source, stage });
      }
      this.#remove(attempt);
    }
  }

  #evict(attempt: Attempt, events: KnockEvent[]): void {
    const { door, source, stage } = attempt;
    if (!this.#isOpening(attempt)) {
      this.counters.evicted += 1;
      if (attempt.told && stage > 1) events.push({ type: 'failed', door, source, stage, reason: 'evicted' });
    }
    this.#remove(attempt);
  }

  #remove(attempt: Attempt): void {
    this.#attempts = this.#attempts.filter((other) => other !== attempt);
  }
}

/** One line per event, the notation of the vectors. */
export function printEvent(event: KnockEvent, doors: readonly Pick<Door, 'name'>[]): string {
  const who = `${printAddress(event.source)} ${doors[event.door]!.name}`;
  switch (event.type) {
    case 'advanced':
      return `${who} stage ${event.stage}`;
    case 'opened':
      return `${who} opened`;
    case 'expired':
      return `${who} expired at stage ${event.stage}`;
    case 'failed':
      return `${who} failed at stage ${event.stage}: ${event.reason}`;
  }
}

function isStep(step: Step, packet: Packet): boolean {
  return step.protocol === packet.protocol && step.port === packet.destinationPort;
}

function sameStep(x: Step, y: Step): boolean {
  return x.protocol === y.protocol && x.port === y.port;
}
