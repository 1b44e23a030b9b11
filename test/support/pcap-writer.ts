/** Writes the classic pcap format, in either byte order and resolution, for tests and recorded fixtures. */

export interface PcapFrame {
  /** Wall time in milliseconds. */
  readonly time: number;
  readonly bytes: Uint8Array;
  /** The length on the wire, when the frame is a short snapshot. */
  readonly wireLength?: number;
}

export interface PcapFormat {
  /** Default: 1, Ethernet. */
  readonly linkType?: number;
  readonly bigEndian?: boolean;
  readonly nanoseconds?: boolean;
  readonly version?: readonly [number, number];
}

/** A whole pcap file. */
export function writePcap(frames: readonly PcapFrame[], format: PcapFormat = {}): Uint8Array {
  const little = !format.bigEndian;
  const [major, minor] = format.version ?? [2, 4];
  const length = frames.reduce((sum, frame) => sum + 16 + frame.bytes.length, 24);
  const file = new Uint8Array(length);
  const view = new DataView(file.buffer);
  view.setUint32(0, format.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, little);
  view.setUint16(4, major, little);
  view.setUint16(6, minor, little);
  view.setUint32(16, 262144, little);
  view.setUint32(20, format.linkType ?? 1, little);
  let at = 24;
  for (const frame of frames) {
    const seconds = Math.floor(frame.time / 1000);
    const fraction = Math.round((frame.time - seconds * 1000) * (format.nanoseconds ? 1e6 : 1e3));
    view.setUint32(at, seconds, little);
    view.setUint32(at + 4, fraction, little);
    view.setUint32(at + 8, frame.bytes.length, little);
    view.setUint32(at + 12, frame.wireLength ?? frame.bytes.length, little);
    file.set(frame.bytes, at + 16);
    at += 16 + frame.bytes.length;
  }
  return file;
}
