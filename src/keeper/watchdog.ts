/**
 * The pings that systemd restarts us for when they stay away: sent from the keeper's event loop, and only while the watcher has answered
 * lately. So a half that hangs, or dies again and again, ends in a new daemon; the guard stays in the kernel meanwhile.
 */

export interface WatchdogPorts {
  /** Milliseconds without a ping after which systemd acts. */
  readonly time: number;
  /** When the watcher answered last, by `monotonicNow`; undefined when it never has. */
  readonly answered: () => number | undefined;
  readonly ping: () => void;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/**
 * An answer of the watcher counts for so long: it is asked every ten seconds, and a machine under load may be late twice.
 */
export const LATELY = 25_000;

/** Pings at a third of the time, at once for the first time; the result ends it. */
export function startWatchdog(ports: WatchdogPorts): () => void {
  const { time, answered, ping, monotonicNow, after } = ports;
  let cancel = (): void => {};
  const round = (): void => {
    const last = answered();
    if (last !== undefined && monotonicNow() - last <= LATELY) ping();
    cancel = after(time / 3, round);
  };
  round();
  return () => cancel();
}
