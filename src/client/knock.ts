/**
 * Knocking: the steps of a sequence go out one after another, each handed to the network before the next, with a pause after each.
 *
 * The pause comes after the last step too (as knock's `-d` does), so that whatever follows finds the door already opened. The first packet
 * that can't be sent ends the run: a sequence with a hole opens nothing, and the rest would only show its ports. What the network does with a
 * packet is not known here; a refusal is an answer, so it means that the packet arrived.
 */

import type { Step } from '../core/door.ts';
import type { Route } from './source.ts';

/**
 * Milliseconds between packets unless told otherwise. knock 0.8 has 0, and its packets overtake each other on links with several queues or
 * paths; 20 ms is more than such paths differ by.
 */
export const DEFAULT_DELAY = 20;

/** Sends single packets. */
export interface KnockNetwork {
  /** Resolves once the packet is on its way, rejects when this machine could not send it. */
  hit(step: Step, route: Route): Promise<void>;
}

/** A monotonic clock, in milliseconds. */
export interface KnockClock {
  now(): number;
  pause(delay: number): Promise<void>;
}

export interface Knock<S extends Step = Step> {
  readonly route: Route;
  readonly steps: readonly S[];
  /** Milliseconds after each packet. */
  readonly delay: number;
  /** How many times the whole sequence is knocked. */
  readonly repeat: number;
}

/** What became of one packet; `round` counts from 1. */
export interface Hit<S extends Step = Step> {
  readonly round: number;
  readonly step: S;
  readonly error: Error | undefined;
}

export interface KnockReport<S extends Step = Step> {
  /** Every packet that was tried, in order. Only the last can have failed. */
  readonly hits: readonly Hit<S>[];
  /** Milliseconds, all pauses included. */
  readonly elapsed: number;
}

/** Knocks; `announce` is told of each step just before its packet leaves. */
export async function knock<S extends Step>(
  plan: Knock<S>,
  network: KnockNetwork,
  clock: KnockClock,
  announce: (step: S) => void = () => {},
): Promise<KnockReport<S>> {
  const start = clock.now();
  const hits: Hit<S>[] = [];
  for (let round = 1; round <= plan.repeat; round++) {
    for (const step of plan.steps) {
      announce(step);
      const error = await network.hit(step, plan.route).then(() => undefined, asError);
      hits.push({ round, step, error });
      if (error) return { hits, elapsed: clock.now() - start };
      if (plan.delay > 0) await clock.pause(plan.delay);
    }
  }
  return { hits, elapsed: clock.now() - start };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
