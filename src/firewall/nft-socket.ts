/**
 * A netlink socket to nf_tables. The kernel carries a change out while it is sent, so its answer is there when sending returns:
 * changes are plain calls, without a wait. Dumps come in pieces, and the event loop runs in between.
 */

import {
  bind,
  close,
  type ReadableWatch,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
  watchReadable,
} from '../platform/libc.ts';
import { otherWork } from '../platform/timer.ts';
import {
  decodeElements,
  decodeMeaning,
  decodeMessages,
  decodeNames,
  type ElementChange,
  encodeBatch,
  encodeDump,
  type ListedElement,
  NFT,
} from './nfnetlink.ts';
import { TABLE } from './nft-rules.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NFNLGRP_NFTABLES = 7;

/** Larger than any piece that the kernel makes of a dump. */
const RECEIVE_SIZE = 64 * 1024;
const MONITOR_BUFFER = 4 * 1024 * 1024;
const DUMP_TRIES = 5;
const GROWTH_PAUSE = 200;

type DumpKind = Parameters<typeof encodeDump>[0];

export class NftSocket {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_SIZE);
  #sequence = 0;
  #dumps: Promise<unknown> = Promise.resolve();

  constructor() {
    this.#fd = openSocket();
  }

  close(): void {
    close(this.#fd);
  }

  /** Carries out all changes or none. Throws a `SystemError` with the kernel's errno when it refused. */
  change(changes: readonly ElementChange[]): void {
    const sequence = this.#next();
    sendto(this.#fd, encodeBatch(changes, sequence), 0);
    let acknowledged = false;
    for (let bytes = this.#receive(); bytes !== undefined; bytes = this.#receive()) {
      for (const message of decodeMessages(bytes)) {
        if (message.sequence !== sequence) continue;
        const meaning = decodeMeaning(message);
        if (meaning.kind === 'refused') {
          this.#drain();
          throw new SystemError(meaning.text || 'nf_tables', meaning.errno);
        }
        if (meaning.kind === 'acknowledged') acknowledged = true;
      }
    }
    if (!acknowledged) throw new Error('nf_tables did not answer');
  }

  /** The names of the chains or sets in our table; empty when there is none. Sets without a name of their own are parts of rules. */
  async names(what: 'getChain' | 'getSet'): Promise<string[]> {
    const bodies = await this.dump(what);
    // nft calls those `__set0`, `__map1`.
    return bodies.map((body) => decodeNames(NFT[what], body).name).filter((name) => !name.startsWith('__'));
  }

  /**
   * The elements of a set, each once; empty when there is no such set. While a hash table grows, its list has some elements twice
   * and others not at all: then it is listed again.
   */
  async elements(set: string): Promise<ListedElement[]> {
    const byKey = new Map<string, ListedElement>();
    for (let left = DUMP_TRIES; ; left -= 1) {
      const seen = new Set<string>();
      let listed = 0;
      for (const body of await this.dump('getElement', set)) {
        for (const element of decodeElements(body)) {
          const key = String.fromCharCode(...element.key);
          byKey.set(key, element);
          seen.add(key);
          listed += 1;
        }
        await otherWork();
      }
      if (listed === seen.size || left <= 1) {
        // The last list is whole, or else all of them together are the best there is.
        return [...byKey].filter(([key]) => seen.has(key) || left <= 1).map(([, element]) => element);
      }
      await new Promise((resolve) => setTimeout(resolve, GROWTH_PAUSE));
    }
  }

  /** The bodies of all messages of a dump, of our table. Dumps run one after another; one that a change disturbed is repeated. */
  dump(what: DumpKind, set?: string): Promise<Uint8Array[]> {
    const answer = this.#dumps.then(() => this.#dumpUndisturbed(what, set));
    this.#dumps = answer.catch(() => {});
    return answer;
  }

  async #dumpUndisturbed(what: DumpKind, set?: string): Promise<Uint8Array[]> {
    for (let left = DUMP_TRIES; ; left -= 1) {
      const { bodies, interrupted } = await this.#dumpOnce(what, set);
      if (!interrupted || left <= 1) return bodies;
    }
  }

  async #dumpOnce(what: DumpKind, set?: string): Promise<{ bodies: Uint8Array[]; interrupted: boolean }> {
    const sequence = this.#next();
    sendto(this.#fd, encodeDump(what, sequence, set), 0);
    const bodies: Uint8Array[] = [];
    let interrupted = false;
    for (;;) {
      const bytes = this.#receive();
      if (bytes === undefined) throw new Error('nf_tables did not end its list');
      for (const message of decodeMessages(bytes)) {
        if (message.sequence !== sequence) continue;
        interrupted ||= message.interrupted;
        const meaning = decodeMeaning(message);
        const errno = meaning.kind === 'done' || meaning.kind === 'refused' ? meaning.errno : 0;
        if (errno === ENOENT) return { bodies: [], interrupted: false };
        if (errno === EINTR) return { bodies, interrupted: true };
        if (errno !== 0) throw new SystemError('nf_tables', errno);
        if (meaning.kind === 'done') return { bodies, interrupted };
        // The kernel lists the chains of all tables, whatever it is asked.
        if (meaning.kind !== 'nftables' || decodeNames(meaning.number, meaning.body).table !== TABLE) continue;
        bodies.push(meaning.body.slice());
      }
      await otherWork();
    }
  }

  #next(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  #receive(): Uint8Array | undefined {
    return receive(this.#fd, this.#buffer);
  }

  #drain(): void {
    while (this.#receive() !== undefined);
  }
}

/**
 * Calls `changed` after each burst of changes to nf_tables in this network namespace that `concerns` picks, or when the kernel
 * could not tell them all. Sees our own changes, too.
 */
export function monitorNft(
  concerns: (event: { readonly number: number; readonly table: string; readonly name: string }) => boolean,
  changed: () => void,
): ReadableWatch {
  const buffer = new Uint8Array(RECEIVE_SIZE);
  const fd = openSocket();
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, word(MONITOR_BUFFER));
  setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, word(NFNLGRP_NFTABLES));
  const read = (): void => {
    let concerned = false;
    try {
      for (let bytes = receive(fd, buffer); bytes !== undefined; bytes = receive(fd, buffer)) {
        if (concerned) continue;
        concerned = decodeMessages(bytes).some((message) => {
          const meaning = decodeMeaning(message);
          if (meaning.kind !== 'nftables') return meaning.kind === 'overrun';
          const { number, body } = meaning;
          return concerns({ number, ...decodeNames(number, body) });
        });
      }
    } catch {
      // ENOBUFS: more changed than the socket's buffer holds.
      concerned = true;
    }
    if (concerned) changed();
  };
  let closed = false;
  const start = (): ReadableWatch =>
    watchReadable(fd, read, () => {
      if (closed) return;
      watch.close();
      read();
      watch = start();
    });
  let watch = start();
  return {
    close: () => {
      closed = true;
      watch.close();
      close(fd);
    },
  };
}

const ENOENT = 2;
const EINTR = 4;

function openSocket(): number {
  const fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, NETLINK_NETFILTER);
  try {
    const address = new Uint8Array(12);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
    bind(fd, address);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, word(1));
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, word(1));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function receive(fd: number, buffer: Uint8Array): Uint8Array | undefined {
  try {
    return buffer.subarray(0, recv(fd, buffer, 0));
  } catch (error) {
    if (error instanceof SystemError && (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK')) return undefined;
    throw error;
  }
}

function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
