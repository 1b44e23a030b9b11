/**
 * What can be asked of a running daemon, apart from how it is asked: the control socket serves it, the keeper implements it.
 * Everything is plain data that goes through JSON as it is; times are milliseconds, addresses text.
 */

import type { HistoryEntry, HistoryType, Via } from '../core/history.ts';

export interface GrantStatus {
  readonly source: string;
  /** Of an IPv6 source: how many bits the grant is for, when it is for a network; `source` is its first address. */
  readonly prefix?: number;
  readonly remaining_ms: number;
  readonly via: Via;
  readonly user?: string;
}

export interface DoorStatus {
  readonly name: string;
  /** `tcp/22`, `udp/51820`, `tcp/8000-8010`. */
  readonly protect: readonly string[];
  readonly grants: readonly GrantStatus[];
}

/** A source that is banned, or allowed. */
export interface SourceStatus {
  readonly source: string;
  /** As in `GrantStatus`. */
  readonly prefix?: number;
  /** Null on the wire where there is no end. */
  readonly remaining_ms: number;
  readonly via: Via;
  readonly user?: string;
  readonly reason?: string;
}

/** Who has been probing; see `core/attackers.ts`. Times are wall time in milliseconds since 1970. */
export interface Stranger {
  readonly source: string;
  /** Bits of its network, where what it did is counted for that. */
  readonly prefix?: number;
  readonly since: number;
  readonly last: number;
  readonly traps: number;
  readonly closed: number;
  readonly unused: number;
  readonly scans: number;
  readonly failed: number;
  readonly denied: number;
  readonly doors: readonly string[];
  /** Up to 32. */
  readonly ports: readonly string[];
  readonly distinct: number;
  readonly points: number;
  readonly banned: boolean;
  /** With `observe`: it has the points. */
  readonly would_be_banned?: true;
}

export interface TarpitStatus {
  readonly port: number;
  readonly pid: number | undefined;
  readonly restarts: number;
  /** Connections that it has now, and may have. */
  readonly held: number;
  readonly connections: number;
  /** Since the daemon started: held at any time, and closed at once because their source had enough. */
  readonly total: number;
  readonly turned_away: number;
  /** As of the watcher. */
  readonly confinement: string;
}

export interface Status {
  readonly version: string;
  readonly uptime_ms: number;
  readonly firewall: string;
  readonly doors: readonly DoorStatus[];
  /** `observe`: nothing is dropped. */
  readonly mode: 'guard' | 'observe';
  readonly bans: readonly SourceStatus[];
  /** With `observe`: how many sources would be banned for their points. */
  readonly would_be_banned?: number;
  /** Who passes every door for a while. */
  readonly allowed: readonly SourceStatus[];
  readonly watcher: {
    readonly pid: number | undefined;
    readonly restarts: number;
    readonly attempts: number;
    readonly received: number;
    readonly lost: number;
    readonly drops: Readonly<Record<string, number>>;
    /** Packets that gave strangers away, and about how many strangers. */
    readonly sighted: number;
    readonly strangers: number;
    /** What the watcher is shut into: `landlock 7, seccomp`. */
    readonly confinement: string;
  };
  /** The daemon's own process, and which capabilities it has kept, by name: `CAP_NET_ADMIN`. None where the system has no such thing. */
  readonly keeper: { readonly pid: number; readonly capabilities: readonly string[] };
  /** Where banned sources are held; absent where they are dropped. */
  readonly tarpit?: TarpitStatus;
  /** While a configuration is on trial: which file, and how long it takes until it is taken back. */
  readonly trial?: { readonly file: string; readonly remaining_ms: number };
  /** Things the administrator should know: state in memory only, a guard that was removed, a confinement that is not complete. */
  readonly warnings: readonly string[];
}

/** How a door is knocked on; the steps are a secret, shown to those who may use the socket. */
export interface DoorShown {
  readonly name: string;
  readonly protect: readonly string[];
  readonly open_for_ms: number;
  readonly renew: boolean;
  readonly close: string;
  /** `tcp/7000`, `udp/8000`; absent for a door that is opened by hand only. */
  readonly steps?: readonly string[];
  readonly within_ms?: number;
}

export interface LogQuery {
  readonly door?: string;
  /** Any of these. */
  readonly sources?: readonly string[];
  readonly types?: readonly HistoryType[];
  /** Wall time in milliseconds since 1970. */
  readonly since?: number;
  /** The last so many, oldest first; 100 unless said, 10,000 at most. */
  readonly limit?: number;
}

/** What happens right now, for `postern watch` and `log --follow`: what is written down, and the knocks on the way. */
export type LiveEvent =
  | { readonly kind: 'history'; readonly entry: HistoryEntry }
  | {
      readonly kind: 'stage';
      readonly time: number;
      readonly door: string;
      readonly source: string;
      readonly stage: number;
      readonly of: number;
    };

export interface Controlled {
  status(): Promise<Status>;
  /** Throws a `Refusal` for a door that there is not. */
  show(door: string): Promise<DoorShown>;
  /** Opens by hand, for `duration` or the door's own time; `user` is who asked, if it is known. Resolves when the door is open. */
  open(door: string, source: string, duration: number | undefined, user: string | undefined): Promise<GrantStatus>;
  /** Ends the grant of one source, or all of a door; resolves to how many were ended. */
  close(door: string, source: string | undefined, user: string | undefined): Promise<number>;
  /** Bans a source, for `duration` or ten minutes. Throws a `Refusal` for one that must not be banned. */
  ban(source: string, duration: number | undefined, user: string | undefined): Promise<SourceStatus>;
  /** False when it was not banned. */
  unban(source: string, user: string | undefined): Promise<boolean>;
  /** Lets a source pass every door, for `duration` or ten minutes. */
  allow(source: string, duration: number | undefined, user: string | undefined): Promise<SourceStatus>;
  disallow(source: string, user: string | undefined): Promise<boolean>;
  /** The weightiest first. */
  attackers(limit: number | undefined): Promise<readonly Stranger[]>;
  /** Reads the configuration again; a broken one changes nothing, throws a `Refusal` that names every problem. */
  reload(): Promise<{ readonly doors: number; readonly warnings: readonly string[] }>;
  /** How events name a source: by its address and, where grants are for IPv6 networks, by its network. */
  namesOf(source: string): readonly string[];
  log(query: LogQuery): Promise<readonly HistoryEntry[]>;
  /** Calls back for everything that happens until the result is called. */
  follow(heard: (event: LiveEvent) => void): () => void;
}

/** What was asked cannot be done, in words for whoever asked; several lines when there are several reasons. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}
