/** Bytes to lines: what came so far of a line waits for its end, and no line may be longer than `longest` bytes. */

const NEWLINE = 0x0a;
const RETURN = 0x0d;

export class Lines {
  readonly #longest: number;
  #pieces: Uint8Array[] = [];
  #waiting = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that `chunk` completes, without their ends (`\n`, `\r\n`); `too-long` as the last of them when there is one. */
  *take(chunk: Uint8Array): Generator<Uint8Array | 'too-long'> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      const piece = chunk.subarray(start, end === -1 ? chunk.length : end);
      if (this.#waiting + piece.length > this.#longest) {
        this.#pieces = [];
        this.#waiting = 0;
        yield 'too-long';
        return;
      }
      this.#pieces.push(piece);
      this.#waiting += piece.length;
      if (end === -1) return;
      yield this.#finish();
      start = end + 1;
    }
  }

  /** What came after the last end of a line; undefined when nothing did. */
  rest(): Uint8Array | undefined {
    return this.#waiting === 0 ? undefined : this.#finish();
  }

  #finish(): Uint8Array {
    const line = this.#pieces.length === 1 ? this.#pieces[0]! : join(this.#pieces, this.#waiting);
    this.#pieces = [];
    this.#waiting = 0;
    return line.at(-1) === RETURN ? line.subarray(0, -1) : line;
  }
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
