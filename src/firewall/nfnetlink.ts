/**
 * The messages of nf_tables over netlink, as bytes (linux/netlink.h, linux/netfilter/nfnetlink.h, nf_tables.h): set elements
 * in and out, dumps, acknowledgements. Pure.
 *
 * - Headers are in the machine's byte order (little-endian on every machine that we run on), attributes' values in network order.
 * - A change is a batch: begin, messages, end. The kernel carries out all of it or nothing, before sending returns.
 * - The kernel is trusted, but its bytes are still read by bounds: `decode…` never throws, and stops at what does not fit.
 * - A comment is kept as nft keeps it, so that `nft list` shows it (libnftnl udata: type 0, length, text, NUL).
 */

import { TABLE } from './nft-rules.ts';

export const NFNL_SUBSYS_NFTABLES = 10;

const NLM_F_REQUEST = 0x01;
const NLM_F_ACK = 0x04;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE = 0x400;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSG_OVERRUN = 4;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;

const NFPROTO_INET = 1;
const NLMSG_HEADER = 16;
const NFGENMSG = 4;
const ATTRIBUTE_HEADER = 4;
const TYPE_MASK = 0x3fff;
const NESTED = 0x8000;

/** Message numbers within nf_tables. */
export const NFT = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  delChain: 5,
  newRule: 6,
  getRule: 7,
  delRule: 8,
  newSet: 9,
  getSet: 10,
  delSet: 11,
  newElement: 12,
  getElement: 13,
  delElement: 14,
  newGeneration: 15,
  destroyElement: 30,
} as const;

const NFTA_NAME = 1; // of a table; of a chain's or rule's or set's table
const NFTA_CHAIN_NAME = 3;
const NFTA_SET_NAME = 2;
const NFTA_LIST_SET = 2;
const NFTA_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_ELEM_KEY = 1;
const NFTA_ELEM_TIMEOUT = 4;
const NFTA_ELEM_EXPIRATION = 5;
const NFTA_ELEM_USERDATA = 6;
const NFTA_DATA_VALUE = 1;
const NLMSGERR_ATTR_MSG = 1;
const UDATA_COMMENT = 0;

const COMMENT_LIMIT = 100;

/** An element to put in or take out. */
export interface Element {
  readonly key: Uint8Array;
  /** Milliseconds; without it the element stays for good. */
  readonly timeout?: number;
  readonly comment?: string;
}

/** `destroy` is no error when there is no such element; kernels before 6.3 do not know it. */
export interface ElementChange {
  readonly action: 'add' | 'delete' | 'destroy';
  readonly set: string;
  readonly elements: readonly Element[];
}

/** An element as the kernel lists it. */
export interface ListedElement {
  readonly key: Uint8Array;
  /** Milliseconds left; `Infinity` for an element without a time. */
  readonly remaining: number;
  readonly comment: string;
}

/** One netlink message. `payload` is what follows its header. */
export interface Message {
  readonly type: number;
  readonly sequence: number;
  /** The dump that it is part of ran while something changed: elements may be missing or doubled. */
  readonly interrupted: boolean;
  readonly payload: Uint8Array;
}

/** What a message says of itself: an answer that ends a request, or content of nf_tables by its number in `NFT`. */
export type Meaning =
  | { readonly kind: 'acknowledged' }
  | { readonly kind: 'refused'; readonly errno: number; readonly text: string }
  | { readonly kind: 'done'; readonly errno: number }
  | { readonly kind: 'overrun' }
  | { readonly kind: 'nftables'; readonly number: number; readonly body: Uint8Array }
  | { readonly kind: 'other' };

/** One transaction. Its last message asks to be acknowledged; every message carries `sequence`. */
export function encodeBatch(changes: readonly ElementChange[], sequence: number): Uint8Array {
  const ends = (type: number): Uint8Array =>
    message(type, NLM_F_REQUEST, sequence, [new Uint8Array([0, 0, 0, NFNL_SUBSYS_NFTABLES])]);
  const last = changes.length - 1;
  return join([
    ends(BATCH_BEGIN),
    ...changes.map((change, index) => elementChange(change, index === last ? NLM_F_ACK : 0, sequence)),
    ends(BATCH_END),
  ]);
}

/** Renewal that works on every kernel (before 6.12, adding again does not renew): out with the old, if any, and in with the new. */
export function renewal(set: string, element: Element): ElementChange[] {
  const bare = [{ key: element.key }];
  return [
    { action: 'add', set, elements: bare },
    { action: 'delete', set, elements: bare },
    { action: 'add', set, elements: [element] },
  ];
}

/** Asks for everything of one kind in our table: `getTable` for all tables, `getElement` of one set. */
export function encodeDump(
  what: 'getTable' | 'getChain' | 'getRule' | 'getSet' | 'getElement',
  sequence: number,
  set?: string,
): Uint8Array {
  const attributes = [
    attribute(NFTA_NAME, text(TABLE)),
    ...(set === undefined ? [] : [attribute(NFTA_LIST_SET, text(set))]),
  ];
  const type = (NFNL_SUBSYS_NFTABLES << 8) | NFT[what];
  // A dump of tables takes no filter.
  return message(type, NLM_F_REQUEST | NLM_F_DUMP, sequence, [GENERIC, ...(what === 'getTable' ? [] : attributes)]);
}

/** The whole messages at the front of what was received. */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  for (let at = 0; at + NLMSG_HEADER <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER || at + length > bytes.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      interrupted: (view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0,
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + NLMSG_HEADER, at + length),
    });
    at += padded(length);
  }
  return messages;
}

/** What the message is. A message too short for its kind is `other`. */
export function decodeMeaning({ type, payload }: Message): Meaning {
  if (type === NLMSG_OVERRUN) return { kind: 'overrun' };
  if (type === NLMSG_DONE)
    return { kind: 'done', errno: payload.length >= 4 ? Math.abs(viewOf(payload).getInt32(0, true)) : 0 };
  if (type === NLMSG_ERROR) return decodeAnswer(payload);
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES || payload.length < NFGENMSG) return { kind: 'other' };
  return { kind: 'nftables', number: type & 0xff, body: payload.subarray(NFGENMSG) };
}

/** The table, and the object in it, that a message about a table, chain, rule or set names; empty where there is none. */
export function decodeNames(number: number, body: Uint8Array): { readonly table: string; readonly name: string } {
  const nameType = number >= NFT.newChain && number <= NFT.delChain ? NFTA_CHAIN_NAME : NFTA_SET_NAME;
  let table = '';
  let name = '';
  for (const { type, value } of attributesOf(body)) {
    if (type === NFTA_NAME) table = readText(value);
    else if (type === nameType) name = readText(value);
  }
  return { table, name };
}

/** The elements in one message of a set's dump. */
export function decodeElements(body: Uint8Array): ListedElement[] {
  return elementBytes(body).flatMap(decodeElement);
}

/** The same elements as their bytes, to be compared: of a verdict map the verdicts, too. */
export function elementBytes(body: Uint8Array): Uint8Array[] {
  const lists = [...attributesOf(body)].filter(({ type }) => type === NFTA_LIST_ELEMENTS);
  return lists
    .flatMap(({ value }) => [...attributesOf(value)])
    .filter(({ type }) => type === NFTA_LIST_ELEM)
    .map(({ value }) => value);
}

/** As nft can show and read it again: printable ASCII without quotes, at most 100 characters. */
export function commentText(comment: string): string {
  return comment.replace(/[^ -~]|["\\]/g, '?').slice(0, COMMENT_LIMIT);
}

function decodeAnswer(payload: Uint8Array): Meaning {
  if (payload.length < 4) return { kind: 'other' };
  const view = viewOf(payload);
  const errno = Math.abs(view.getInt32(0, true));
  if (errno === 0) return { kind: 'acknowledged' };
  // With NETLINK_CAP_ACK only the header of the request follows, then the kernel's explanation.
  const explained = attributesOf(payload.subarray(4 + NLMSG_HEADER));
  const found = [...explained].find(({ type }) => type === NLMSGERR_ATTR_MSG);
  return { kind: 'refused', errno, text: found ? readText(found.value) : '' };
}

function decodeElement(bytes: Uint8Array): ListedElement[] {
  let key: Uint8Array | undefined;
  let timed = false;
  let expiration: number | undefined;
  let comment = '';
  for (const { type, value } of attributesOf(bytes)) {
    if (type === NFTA_ELEM_KEY) key = [...attributesOf(value)].find((data) => data.type === NFTA_DATA_VALUE)?.value;
    else if (type === NFTA_ELEM_TIMEOUT) timed = readNumber(value) !== 0;
    else if (type === NFTA_ELEM_EXPIRATION) expiration = readNumber(value);
    else if (type === NFTA_ELEM_USERDATA) comment = decodeComment(value);
  }
  if (key === undefined) return [];
  return [{ key, remaining: expiration ?? (timed ? 0 : Number.POSITIVE_INFINITY), comment }];
}

function decodeComment(userdata: Uint8Array): string {
  for (let at = 0; at + 2 <= userdata.length; ) {
    const length = userdata[at + 1]!;
    if (at + 2 + length > userdata.length) break;
    if (userdata[at] === UDATA_COMMENT) return readText(userdata.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return '';
}

interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

function* attributesOf(bytes: Uint8Array): Generator<Attribute> {
  const view = viewOf(bytes);
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) return;
    yield {
      type: view.getUint16(at + 2, true) & TYPE_MASK,
      value: bytes.subarray(at + ATTRIBUTE_HEADER, at + length),
    };
    at += padded(length);
  }
}

const GENERIC = new Uint8Array([NFPROTO_INET, 0, 0, 0]);

function elementChange({ action, set, elements }: ElementChange, flags: number, sequence: number): Uint8Array {
  const number = { add: NFT.newElement, delete: NFT.delElement, destroy: NFT.destroyElement }[action];
  const list = elements.map((element) => attribute(NFTA_LIST_ELEM | NESTED, encodeElement(element)));
  return message(
    (NFNL_SUBSYS_NFTABLES << 8) | number,
    NLM_F_REQUEST | flags | (action === 'add' ? NLM_F_CREATE : 0),
    sequence,
    [
      GENERIC,
      attribute(NFTA_NAME, text(TABLE)),
      attribute(NFTA_LIST_SET, text(set)),
      attribute(NFTA_LIST_ELEMENTS | NESTED, join(list)),
    ],
  );
}

function encodeElement({ key, timeout, comment }: Element): Uint8Array {
  const parts = [attribute(NFTA_ELEM_KEY | NESTED, attribute(NFTA_DATA_VALUE, key))];
  if (timeout !== undefined) parts.push(attribute(NFTA_ELEM_TIMEOUT, milliseconds(timeout)));
  if (comment !== undefined && comment !== '') {
    const words = text(commentText(comment));
    parts.push(attribute(NFTA_ELEM_USERDATA, join([new Uint8Array([UDATA_COMMENT, words.length]), words])));
  }
  return join(parts);
}

/** Whole and at least 1: to the kernel 0 means for good. */
function milliseconds(timeout: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, BigInt(Math.max(1, Math.ceil(timeout))));
  return bytes;
}

function message(type: number, flags: number, sequence: number, parts: readonly Uint8Array[]): Uint8Array {
  const body = join(parts);
  const bytes = new Uint8Array(NLMSG_HEADER + body.length);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(body, NLMSG_HEADER);
  return bytes;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(padded(ATTRIBUTE_HEADER + value.length));
  const view = viewOf(bytes);
  view.setUint16(0, ATTRIBUTE_HEADER + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, ATTRIBUTE_HEADER);
  return bytes;
}

function text(string: string): Uint8Array {
  return new TextEncoder().encode(`${string}\0`);
}

function readText(value: Uint8Array): string {
  const end = value.indexOf(0);
  return new TextDecoder('latin1').decode(end < 0 ? value : value.subarray(0, end));
}

function readNumber(value: Uint8Array): number {
  return value.length >= 8 ? Number(viewOf(value).getBigUint64(0)) : 0;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
