/** Where packets come from: a kernel ring, a capture file, a capture program's pipe. One port; the watcher knows no more than this. */

import type { Drop, Packet } from '../core/packet.ts';

export interface PacketSink {
  /** One decoded packet, or why it is none. `time` is wall time in milliseconds, `frameLength` the frame's bytes on the wire. */
  packet(packet: Packet | Drop, time: number, frameLength: number): void;
  /** A batch is through: a good moment to look at deadlines. */
  drained(): void;
  /** A capture file is to wait: what the next packets mean depends on an answer. Asked after each packet; then `readOn` tells. */
  waits(): boolean;
  /** The source will give no more; `reason` when that is a failure. */
  ended(reason?: string): void;
}

export interface CaptureSource {
  /** Packets that passed the kernel's filter and those lost before they could be read, since the last call. */
  statistics(): { readonly received: number; readonly lost: number };
  /** The sink waits no more. Absent where packets come when they come. */
  readonly readOn?: () => void;
  close(): void;
}
