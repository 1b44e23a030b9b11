/** Timers for delays of any length: Node's own end at 2^31 - 1 milliseconds and fire at once beyond that. */

const LONGEST = 2 ** 31 - 1;

/** Calls `call` after `delay` milliseconds; the result cancels. */
export function after(delay: number, call: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (left: number): void => {
    timer = setTimeout(() => (left > LONGEST ? wait(left - LONGEST) : call()), Math.min(left, LONGEST));
  };
  wait(Math.max(0, delay));
  return () => clearTimeout(timer);
}

/** Lets what else waits for the event loop have its turn. */
export function otherWork(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
