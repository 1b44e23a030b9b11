/**
 * Many queues of numbered items, threaded through two words of each item's record, so that joining the tail, leaving from
 * anywhere and looking at the head are O(1) and allocate nothing. Item 0 is nobody. An item is in one queue of a set at most.
 */

/** Where the records lie: item `i` owns the words from `i * stride` on. */
export interface Records {
  readonly words: Int32Array;
  readonly stride: number;
}

export class Queues {
  readonly #words: Int32Array;
  readonly #stride: number;
  readonly #next: number;
  readonly #previous: number;
  readonly #heads: Int32Array;
  readonly #tails: Int32Array;
  readonly #lengths: Int32Array;

  /** `count` empty queues that keep their links in the words `link` and `link + 1` of each record. */
  constructor(records: Records, link: number, count: number) {
    this.#words = records.words;
    this.#stride = records.stride;
    this.#next = link;
    this.#previous = link + 1;
    this.#heads = new Int32Array(count);
    this.#tails = new Int32Array(count);
    this.#lengths = new Int32Array(count);
  }

  /** The item that joined first; 0 when the queue is empty. */
  head(queue: number): number {
    return this.#heads[queue]!;
  }

  length(queue: number): number {
    return this.#lengths[queue]!;
  }

  join(queue: number, item: number): void {
    const tail = this.#tails[queue]!;
    this.#words[item * this.#stride + this.#next] = 0;
    this.#words[item * this.#stride + this.#previous] = tail;
    if (tail === 0) this.#heads[queue] = item;
    else this.#words[tail * this.#stride + this.#next] = item;
    this.#tails[queue] = item;
    this.#lengths[queue]! += 1;
  }

  leave(queue: number, item: number): void {
    const next = this.#words[item * this.#stride + this.#next]!;
    const previous = this.#words[item * this.#stride + this.#previous]!;
    if (previous === 0) this.#heads[queue] = next;
    else this.#words[previous * this.#stride + this.#next] = next;
    if (next === 0) this.#tails[queue] = previous;
    else this.#words[next * this.#stride + this.#previous] = previous;
    this.#lengths[queue]! -= 1;
  }

  /** Goes to the end of the queue it is in. */
  rejoin(queue: number, item: number): void {
    if (this.#tails[queue] === item) return;
    this.leave(queue, item);
    this.join(queue, item);
  }
}
