/**
 * A capture file or a capture program's pipe as packet source: classic pcap, by an inherited descriptor.
 *
 * A file is read in turns so that the keeper is heard in between; a pipe as data comes. While the sink waits, nothing is handed on
 * or read. What the reader refuses ends the source with its reason.
 */

import { fstatSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { decodeFrame } from '../core/link.ts';
import { PcapReader, type PcapRecord } from './pcap.ts';
import type { CaptureSource, PacketSink } from './source.ts';

const CHUNK = 256 * 1024;

/**
 * Prepares the descriptor (before confinement, which forbids it) and returns what starts the reading. `ends`: it is a file, which may come
 * through a pipe; a capture program's pipe does not end by itself.
 */
export function readPcap(fd: number, ends: boolean, sink: PacketSink): () => CaptureSource {
  const records = new RecordQueue(sink);
  return fstatSync(fd).isFile() ? () => readFile(fd, records, sink) : readPipe(fd, ends, records, sink);
}

function readFile(fd: number, records: RecordQueue, sink: PacketSink): CaptureSource {
  let closed = false;
  const buffer = new Uint8Array(CHUNK);
  const goOn = (state: Passed): void => {
    if (state === 'all') setImmediate(turn);
  };
  const turn = (): void => {
    if (closed) return;
    const length = readSync(fd, buffer, 0, CHUNK, null);
    if (length === 0) sink.ended(records.unfinished());
    else goOn(records.push(buffer.slice(0, length)));
  };
  setImmediate(turn);
  return {
    statistics: nothingLost,
    readOn: () => {
      if (records.held) goOn(records.pass());
    },
    close: () => {
      closed = true;
    },
  };
}

function readPipe(fd: number, ends: boolean, records: RecordQueue, sink: PacketSink): () => CaptureSource {
  const pipe = new Socket({ fd, readable: true, writable: false });
  pipe.pause();
  let over = false;
  const finish = (): void => sink.ended(ends ? records.unfinished() : 'the capture program ended');
  const goOn = (state: Passed): void => {
    if (state === 'broken') pipe.destroy();
    else if (state === 'held') pipe.pause();
    else if (over) finish();
    else pipe.resume();
  };
  return () => {
    pipe.on('data', (chunk: Buffer) => goOn(records.push(chunk)));
    pipe.on('error', (error) => sink.ended(error.message));
    // A pause does not keep the end from coming.
    pipe.on('end', () => {
      over = true;
      if (!records.held) finish();
    });
    pipe.resume();
    return {
      statistics: nothingLost,
      readOn: () => {
        if (records.held) goOn(records.pass());
      },
      close: () => void pipe.destroy(),
    };
  };
}

/** All that was read has been handed on; or the sink waits; or the capture is broken, and the sink knows. */
type Passed = 'all' | 'held' | 'broken';

/** Records between the reader and a sink that may want to wait. */
class RecordQueue {
  readonly #reader = new PcapReader();
  readonly #sink: PacketSink;
  #records: readonly PcapRecord[] = [];
  #next = 0;
  held = false;

  constructor(sink: PacketSink) {
    this.#sink = sink;
  }

  /** Only when the last answer was 'all'. */
  push(chunk: Uint8Array): Passed {
    try {
      this.#records = this.#reader.push(chunk);
    } catch (error) {
      this.#sink.ended((error as Error).message);
      return 'broken';
    }
    this.#next = 0;
    return this.pass();
  }

  pass(): Passed {
    for (;;) {
      this.held = this.#sink.waits();
      if (this.held) return 'held';
      const record = this.#records[this.#next++];
      if (!record) break;
      const { linkType, bytes, time, wireLength } = record;
      this.#sink.packet(decodeFrame(linkType, bytes, wireLength), time, wireLength);
    }
    this.#records = [];
    this.#sink.drained();
    return 'all';
  }

  unfinished(): string | undefined {
    return this.#reader.unfinished();
  }
}

function nothingLost(): { received: number; lost: number } {
  return { received: 0, lost: 0 };
}
