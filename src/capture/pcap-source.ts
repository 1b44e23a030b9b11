/**
 * A capture file or a capture program's pipe as packet source: classic pcap, by an inherited descriptor.
 *
 * A file is read in turns so that the keeper is heard in between; a pipe as data comes. What the reader refuses ends the
 * source with its reason.
 */

import { fstatSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { decodeFrame } from '../core/link.ts';
import { PcapReader } from './pcap.ts';
import type { CaptureSource, PacketSink } from './source.ts';

const CHUNK = 256 * 1024;

/**
 * Prepares the descriptor (before confinement, which forbids it) and returns what starts the reading. `ends`: it is a file, which may come
 * through a pipe; a capture program's pipe does not end by itself.
 */
export function readPcap(fd: number, ends: boolean, sink: PacketSink): () => CaptureSource {
  const reader = new PcapReader();
  const push = (chunk: Uint8Array): boolean => {
    try {
      for (const record of reader.push(chunk)) {
        sink.packet(decodeFrame(record.linkType, record.bytes, record.wireLength), record.time, record.wireLength);
      }
      sink.drained();
      return true;
    } catch (error) {
      sink.ended((error as Error).message);
      return false;
    }
  };
  const nothingLost = (): { received: number; lost: number } => ({ received: 0, lost: 0 });

  if (fstatSync(fd).isFile()) {
    return () => {
      let closed = false;
      const buffer = new Uint8Array(CHUNK);
      const turn = (): void => {
        if (closed) return;
        const length = readSync(fd, buffer, 0, CHUNK, null);
        if (length === 0) sink.ended(reader.unfinished());
        else if (push(buffer.slice(0, length))) setImmediate(turn);
      };
      setImmediate(turn);
      return {
        statistics: nothingLost,
        close: () => {
          closed = true;
        },
      };
    };
  }
  const pipe = new Socket({ fd, readable: true, writable: false });
  pipe.pause();
  return () => {
    pipe.on('data', (chunk: Buffer) => {
      if (!push(chunk)) pipe.destroy();
    });
    pipe.on('error', (error) => sink.ended(error.message));
    pipe.on('end', () => sink.ended(ends ? reader.unfinished() : 'the capture program ended'));
    pipe.resume();
    return { statistics: nothingLost, close: () => void pipe.destroy() };
  };
}
