/**
 * The frame of what is said on the control socket (doc/control.md): one JSON object a line, each way.
 *
 * Requests (`request.ts`) are answered in their order, `{"v":1,"id":…,"ok":true,"result":…}` or `{"v":1,"id":…,"ok":false,"error":"…"}`;
 * who follows hears `{"v":1,"event":{…}}` (`wire-event.ts`) in between.
 */

import type { WireEvent } from './wire-event.ts';

export const PROTOCOL = 1;
/** Bytes of a request, without the end of the line. */
export const LONGEST_REQUEST = 65_536;

/** Whatever a client calls its request; the answer carries it. */
export type RequestId = string | number;

type Fields = Readonly<Record<string, unknown>>;

export function printAnswer(id: RequestId | undefined, result: unknown): string {
  return `${JSON.stringify({ v: PROTOCOL, id, ok: true, result: result ?? null })}\n`;
}

export function printFailure(id: RequestId | undefined, error: string): string {
  return `${JSON.stringify({ v: PROTOCOL, id, ok: false, error })}\n`;
}

export function printEvent(event: WireEvent): string {
  return `${JSON.stringify({ v: PROTOCOL, event })}\n`;
}

/** A line of the daemon's. */
export type Reply =
  | { readonly id: RequestId | undefined; readonly result: unknown }
  | { readonly id: RequestId | undefined; readonly error: string }
  | { readonly event: WireEvent };

/** Reads a line of the daemon's; undefined when it is none of this version. */
export function decodeReply(line: Uint8Array): Reply | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(line));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { v, id, ok, result, error, event } = value as Fields;
  if (v !== PROTOCOL) return undefined;
  if (typeof event === 'object' && event !== null) return { event: event as WireEvent };
  if (ok === true) return { id: id as RequestId | undefined, result };
  if (ok === false && typeof error === 'string') return { id: id as RequestId | undefined, error };
  return undefined;
}
