/**
 * The one thing that indexes wire bytes: a forward cursor that never reads outside its range and never throws.
 *
 * A read past the end returns 0, moves nothing and sets `failed`, which then stays set, so a decoder reads a whole header in
 * a row and asks once. A value read is not to be believed before `failed` has been looked at. Numbers are in network order.
 */

/** A bounds-checked reader of `bytes`, from `start` up to `end` (both are clamped into the array). */
export class ByteCursor {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #offset: number;
  #failed = false;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#end = Math.min(end, bytes.length);
    this.#offset = Math.max(start, 0);
  }

  /** Has any read or skip so far gone past the end? */
  get failed(): boolean {
    return this.#failed;
  }

  /** Where the next read begins, counted from the start of the array. */
  get offset(): number {
    return this.#offset;
  }

  // Every check is written so that NaN fails it.

  /** One byte. */
  u8(): number {
    const at = this.#offset;
    if (at + 1 <= this.#end) {
      this.#offset = at + 1;
      return this.#bytes[at]!;
    }
    return this.#fail();
  }

  /** The byte that `u8` would return next, without moving. */
  peek(): number {
    const at = this.#offset;
    return at + 1 <= this.#end ? this.#bytes[at]! : this.#fail();
  }

  /** Two bytes, 0-65535. */
  u16(): number {
    const at = this.#offset;
    if (at + 2 <= this.#end) {
      this.#offset = at + 2;
      return (this.#bytes[at]! << 8) | this.#bytes[at + 1]!;
    }
    return this.#fail();
  }

  /** Four bytes as a signed 32-bit integer, which is what address words and sequence numbers are here. */
  i32(): number {
    const at = this.#offset;
    if (at + 4 <= this.#end) {
      this.#offset = at + 4;
      const bytes = this.#bytes;
      return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    }
    return this.#fail();
  }

  /** Moves over `count` bytes; a negative count fails as one past the end does. */
  skip(count: number): void {
    if (count >= 0 && this.#offset + count <= this.#end) this.#offset += count;
    else this.#fail();
  }

  #fail(): 0 {
    this.#failed = true;
    return 0;
  }
}
