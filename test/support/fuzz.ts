/**
 * What every reader of strangers' bytes has to stand, as tests: every truncation and every bit flip of its corpus, mutations of it and plain
 * noise without number, and large inputs, for which time and answer may grow no faster than the input.
 *
 *     fuzz({ name: '`decodeReply()`', samples: readSamples('replies.txt'), check: (bytes) => void decodeReply(bytes) });
 *
 * FUZZ_RUNS inputs for each target (100,000 unless said). Each input has a seed of its own: a failure prints it, with the input made as small
 * as it will go, and `FUZZ_SEED=… FUZZ_RUNS=1` makes the same one again. What was found goes into the corpus.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { serialize } from 'node:v8';
import { type Random, randomFrom } from './random.ts';

/** An input that says something to the reader. */
export interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface FuzzTarget<S extends Sample> {
  readonly name: string;
  readonly samples: readonly S[];
  /** Pieces of the reader's language that mutations put in. */
  readonly words?: readonly string[];
  /** Reads, and throws when the answer is none that may be given. `sample` is what the input was made from. */
  readonly check: (bytes: Uint8Array, sample: S, random: Random) => void;
  /** An input of about `size` bytes, the costliest there is, and the reader alone. */
  readonly large?: {
    readonly name: string;
    readonly sizes: readonly [small: number, large: number];
    readonly build: (size: number) => Uint8Array;
    readonly read: (bytes: Uint8Array) => unknown;
  }[];
}

const RUNS = Number(process.env.FUZZ_RUNS ?? 100_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000_000);
/** In one test: a runner that hears nothing for minutes believes that we hang. */
const RUNS_AT_ONCE = 1_000_000;
/** Time as a power of the size: more than linear by what a busy machine adds, and far from quadratic. */
const MOST_GROWTH = 1.6;
/** Bytes of the answer for each one of the input. */
const MOST_ANSWER = 64;

export function fuzz<S extends Sample>(target: FuzzTarget<S>): void {
  const { name, samples, check } = target;
  const attempt = (bytes: Uint8Array, sample: S, seed: number): void => {
    try {
      check(bytes, sample, randomFrom(seed));
    } catch (error) {
      const small = shrunk(bytes, (less) => fails(() => check(less, sample, randomFrom(seed))));
      const again = `FUZZ_SEED=${seed} FUZZ_RUNS=1`;
      throw new Error(`${sample.name} became ${printBytes(small)} (${again})`, { cause: error });
    }
  };

  describe(name, () => {
    test('stands every truncation of its corpus', () => {
      assert.ok(samples.length > 0);
      for (const sample of samples) {
        for (let length = 0; length <= sample.bytes.length; length += 1) {
          attempt(sample.bytes.slice(0, length), sample, SEED);
        }
      }
    });

    test('stands every bit flip of its corpus', () => {
      for (const sample of samples) {
        for (let bit = 0; bit < sample.bytes.length * 8; bit += 1) {
          const flipped = sample.bytes.slice();
          flipped[bit >>> 3]! ^= 1 << (bit & 7);
          attempt(flipped, sample, SEED);
        }
      }
    });

    const words = (target.words ?? []).map((word) => new TextEncoder().encode(word));
    for (let first = 0; first < RUNS; first += RUNS_AT_ONCE) {
      const runs = Math.min(RUNS_AT_ONCE, RUNS - first);
      test(`stands ${runs} mutations of it`, () => {
        for (let run = 0; run < runs; run += 1) {
          const seed = SEED + first + run;
          const random = randomFrom(seed);
          const sample = random.of(samples);
          attempt(mutated(sample.bytes, samples, words, random), sample, seed);
        }
      });
    }

    for (const { name: what, sizes, build, read } of target.large ?? []) {
      test(`reads ${what} in linear time and memory`, () => {
        const [short, long] = sizes.map(build) as [Uint8Array, Uint8Array];
        const answer = serialize(read(long)).length;
        assert.ok(answer <= MOST_ANSWER * (long.length + 100), `${answer} bytes of answer to ${long.length}`);
        let growth = Number.POSITIVE_INFINITY;
        for (let tries = 0; tries < 5 && growth > MOST_GROWTH; tries += 1) {
          growth = Math.log(best(read, long) / best(read, short)) / Math.log(long.length / short.length);
        }
        assert.ok(growth <= MOST_GROWTH, `time grows as n^${growth.toFixed(2)}`);
      });
    }
  });
}

/**
 * A corpus of `test/fuzz`: a line each, `\xNN` for the bytes that a text file cannot show, lines that begin with `#` aside. A sample is called
 * by its line.
 */
export function readSamples(file: string): readonly Sample[] {
  const text = readFileSync(new URL(`../fuzz/${file}`, import.meta.url), 'utf8').replace(/\n$/, '');
  return text.split('\n').flatMap((line, index) => {
    if (line.startsWith('#')) return [];
    return [{ name: `${file}:${index + 1}`, bytes: bytesOf(line) }];
  });
}

function bytesOf(line: string): Uint8Array {
  const parts = line.split(/\\x([0-9a-f]{2})/);
  return join(
    parts.map((part, index) =>
      index % 2 === 0 ? new TextEncoder().encode(part) : Uint8Array.of(Number.parseInt(part, 16)),
    ),
  );
}

/** As a line of a corpus. */
function printBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
  ).join('');
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Bytes that mean something to many a format. */
const TELLING = [
  0x00, 0x01, 0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x3a, 0x3c, 0x45, 0x5b, 0x5c, 0x60, 0x7b, 0x7d, 0x7f, 0x80, 0x81, 0xff,
];
const MOST_SLIPS = 4;
/** One input in so many is made of nothing. */
const NOISE = 16;
const MOST_NOISE = 300;

function mutated(
  bytes: Uint8Array,
  samples: readonly Sample[],
  words: readonly Uint8Array[],
  random: Random,
): Uint8Array {
  if (random.below(NOISE) === 0) return noise(random.below(MOST_NOISE), random);
  let result = bytes;
  for (let slips = 1 + random.below(MOST_SLIPS); slips > 0; slips -= 1) {
    const at = random.below(result.length + 1);
    result = spliced(result, at, cutFor(random), pieceFor(result, samples, words, random));
  }
  return result;
}

/** Most slips change as much as they put in, so that what follows keeps its place. */
function cutFor(random: Random): number | 'as much' {
  const kind = random.below(4);
  return kind < 2 ? 'as much' : kind === 2 ? random.below(4) : random.below(60);
}

function pieceFor(
  bytes: Uint8Array,
  samples: readonly Sample[],
  words: readonly Uint8Array[],
  random: Random,
): Uint8Array {
  switch (random.below(7)) {
    case 0:
      return new Uint8Array(0);
    case 1:
      return Uint8Array.of(random.of(TELLING));
    case 2:
      return words.length > 0 ? random.of(words) : noise(2, random);
    case 3:
      return pieceOf(random.of(samples).bytes, random);
    case 4:
      return pieceOf(bytes, random);
    default:
      return noise(1 + random.below(4), random);
  }
}

function pieceOf(bytes: Uint8Array, random: Random): Uint8Array {
  const start = random.below(bytes.length);
  return bytes.subarray(start, start + random.below(60));
}

function noise(length: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = random.below(256);
  return bytes;
}

function spliced(bytes: Uint8Array, at: number, cut: number | 'as much', piece: Uint8Array): Uint8Array {
  const rest = Math.min(bytes.length, at + (cut === 'as much' ? piece.length : cut));
  const result = new Uint8Array(at + piece.length + bytes.length - rest);
  result.set(bytes.subarray(0, at));
  result.set(piece, at);
  result.set(bytes.subarray(rest), at + piece.length);
  return result;
}

/** As few bytes as still fail: pieces are taken out, the larger ones first. */
function shrunk(bytes: Uint8Array, stillFails: (bytes: Uint8Array) => boolean): Uint8Array {
  let small = bytes;
  for (let size = small.length >>> 1; size > 0; size >>>= 1) {
    for (let at = 0; at + size <= small.length; ) {
      const less = spliced(small, at, size, new Uint8Array(0));
      if (stillFails(less)) small = less;
      else at += size;
    }
  }
  return small;
}

function fails(act: () => void): boolean {
  try {
    act();
    return false;
  } catch {
    return true;
  }
}

/** Milliseconds of the fastest of some readings, each long enough for the clock. */
function best(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): number {
  let fastest = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < 5; reading += 1) {
    let times = 0;
    const start = performance.now();
    do {
      read(bytes);
      times += 1;
    } while (performance.now() - start < 1);
    fastest = Math.min(fastest, (performance.now() - start) / times);
  }
  return fastest;
}
