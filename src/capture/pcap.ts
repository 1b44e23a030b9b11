/**
 * Reads the classic pcap format (draft-ietf-opsawg-pcap) as it arrives: a file's pieces or the pipe of `tcpdump -w -`.
 *
 * Both byte orders, microseconds and nanoseconds, version 2.4. It does no input of its own, holds back at most one unfinished
 * record, and copies each byte at most three times however the pieces are cut. The format is our own people's input, so what is
 * wrong with it is thrown, with the number of the record; what the packets inside say is a stranger's business, not looked at.
 */

import { ByteCursor } from '../core/byte-cursor.ts';

export interface PcapRecord {
  /** Wall time of the capture in milliseconds, with the fraction the file has. */
  readonly time: number;
  /** The frame, or as much of it as was captured: a view into the pieces pushed. */
  readonly bytes: Uint8Array;
  /** The frame's length on the wire, never below `bytes.length`. */
  readonly wireLength: number;
  /** The file's link type, for `decodeFrame`. */
  readonly linkType: number;
}

/** The longest record that is believed, which is also the longest snapshot tcpdump takes. */
export const MAX_RECORD_LENGTH = 262144;

const MAGIC = 4;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const PCAPNG = 0x0a0d0d0a;
const GZIP = 0x1f8b;
const ZSTD = 0x28b52ffd;

interface FileHeader {
  readonly swapped: boolean;
  /** The fraction field's units in a millisecond. */
  readonly fractions: number;
  readonly linkType: number;
}

/** Turns pieces of a capture into records, in order. */
export class PcapReader {
  #header: FileHeader | undefined;
  #records = 0;
  /** Pieces with the start of something unfinished, their bytes, and how many it takes to go on. */
  #pending: Uint8Array[] = [];
  #pendingLength = 0;
  #needed = MAGIC;
  /** What is wrong with the capture, told once the records before it are out. */
  #broken: string | undefined;

  /** The file's link type; undefined until its header has been read. */
  get linkType(): number | undefined {
    return this.#header?.linkType;
  }

  /**
   * Takes the next piece, of any length, and returns the records it completes. They are views into it: hand over a piece that
   * is not written to again. Throws an `Error` when the capture is wrong (on the next call, when records before the wrong one
   * are still to be returned), and again on every call after that; the message has no file name, which the reader doesn't know.
   */
  push(chunk: Uint8Array): PcapRecord[] {
    if (this.#broken !== undefined) throw new Error(this.#broken);
    const bytes = this.#join(chunk);
    if (!bytes) return [];
    const records: PcapRecord[] = [];
    let at = 0;
    if (!this.#header) {
      const { swapped, fractions } = parseMagic(bytes);
      this.#needed = FILE_HEADER;
      if (bytes.length < this.#needed) {
        this.#keep(bytes);
        return records;
      }
      this.#header = { swapped, fractions, linkType: parseLinkType(bytes, swapped) };
      at = FILE_HEADER;
    }
    for (;;) {
      this.#needed = RECORD_HEADER;
      if (bytes.length - at < this.#needed) break;
      const record = this.#parseRecord(this.#header, bytes, at);
      if (!record) break;
      records.push(record);
      at += RECORD_HEADER + record.bytes.length;
    }
    if (this.#broken !== undefined && records.length === 0) throw new Error(this.#broken);
    this.#keep(bytes.subarray(at));
    return records;
  }

  /** Ask when no more will come: what is missing or wrong, as a message, or undefined when the capture ends where a record does. */
  unfinished(): string | undefined {
    if (this.#broken !== undefined) return this.#broken;
    const length = this.#pendingLength;
    if (!this.#header) {
      return `Cannot read the capture: it ends after ${length} of the ${FILE_HEADER} bytes of a pcap file header`;
    }
    if (length === 0) return undefined;
    return `Cannot read the capture to its end: record ${this.#records + 1} is cut off after ${length} bytes`;
  }

  /** The pending bytes and the new ones in one piece, or undefined when they still do not suffice. */
  #join(chunk: Uint8Array): Uint8Array | undefined {
    if (this.#pendingLength + chunk.length < this.#needed) {
      this.#keep(chunk);
      return undefined;
    }
    if (this.#pendingLength === 0) return chunk;
    this.#keep(chunk);
    const bytes = concat(this.#pending, this.#pendingLength);
    this.#pending = [];
    this.#pendingLength = 0;
    return bytes;
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pending.push(bytes);
    this.#pendingLength += bytes.length;
  }

  /** The record at `at`, or undefined: with `#needed` set when its bytes are not all there, with `#broken` when it is none. */
  #parseRecord(file: FileHeader, bytes: Uint8Array, at: number): PcapRecord | undefined {
    const cursor = new ByteCursor(bytes, at);
    const seconds = word(cursor, file.swapped);
    const fraction = word(cursor, file.swapped);
    const captured = word(cursor, file.swapped);
    const wire = word(cursor, file.swapped);
    if (captured > MAX_RECORD_LENGTH) {
      this.#broken = `Cannot read the capture: record ${this.#records + 1} claims ${captured} bytes, the most is ${MAX_RECORD_LENGTH}`;
      return undefined;
    }
    const start = at + RECORD_HEADER;
    if (bytes.length - start < captured) {
      this.#needed = RECORD_HEADER + captured;
      return undefined;
    }
    this.#records += 1;
    return {
      time: seconds * 1000 + fraction / file.fractions,
      bytes: bytes.subarray(start, start + captured),
      wireLength: Math.max(wire, captured),
      linkType: file.linkType,
    };
  }
}

function parseMagic(bytes: Uint8Array): { readonly swapped: boolean; readonly fractions: number } {
  const magic = word(new ByteCursor(bytes), false);
  for (const swapped of [false, true]) {
    const own = swapped ? swap32(magic) : magic;
    if (own === MICROSECONDS) return { swapped, fractions: 1e3 };
    if (own === NANOSECONDS) return { swapped, fractions: 1e6 };
  }
  if (magic === PCAPNG) {
    throw new Error(
      'Cannot read the capture: it is in the pcapng format, not classic pcap; convert it with "tcpdump -r OLD -w NEW"',
    );
  }
  if (magic >>> 16 === GZIP || magic === ZSTD) {
    throw new Error('Cannot read the capture: it is compressed; decompress it first');
  }
  throw new Error('Cannot read the capture: it does not begin as a pcap file does');
}

function parseLinkType(bytes: Uint8Array, swapped: boolean): number {
  const cursor = new ByteCursor(bytes, MAGIC);
  const version = word(cursor, swapped);
  const [major, minor] = swapped ? [version & 0xffff, version >>> 16] : [version >>> 16, version & 0xffff];
  if (major !== 2 || minor !== 4) {
    throw new Error(`Cannot read the capture: pcap version ${major}.${minor} is not supported, only 2.4`);
  }
  // Time zone and accuracy are always 0, and writers disagree on the snapshot length: each record is checked instead.
  cursor.skip(12);
  // The upper six bits tell of a frame check sequence, which a decoder takes for padding.
  return word(cursor, swapped) & 0x03ffffff;
}

/** Four bytes as an unsigned integer, in the order of the file. */
function word(cursor: ByteCursor, swapped: boolean): number {
  const value = cursor.i32() >>> 0;
  return swapped ? swap32(value) : value;
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

function concat(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
