/** What postern.toml comes to: doors as the keeper and the firewall drivers know them, and the settings around them. */

import type { DoorPolicy, PortRange, Prefix } from '../core/policy.ts';

/** Who recognizes the knock. */
export type Engine = 'daemon' | 'kernel';

export interface PosternDoor extends DoorPolicy {
  readonly engine: Engine;
  /** Until the daemon is ready for the first time: closed by `posternd --guard-only`, or as open as without Postern. */
  readonly boot: 'closed' | 'open';
  /** Where the door begins in the file. */
  readonly line: number;
}

export interface BanSettings {
  /** Points that ban a source; absent: none is banned by itself. */
  readonly after?: number;
  /** Milliseconds in which so many points are forgotten. */
  readonly within: number;
  /** Milliseconds that a ban lasts. */
  readonly duration: number;
}

/** How banned sources are held. */
export interface TarpitSettings {
  readonly port: number;
  readonly connections: number;
  readonly perSource: number;
  /** Milliseconds between two lines. */
  readonly every: number;
  /** Milliseconds that a connection is held at most. */
  readonly duration: number;
}

export interface PosternConfig {
  /** `observe`: what would be dropped is counted and let through. */
  readonly mode: 'guard' | 'observe';
  /** Trusted sources, which pass every door. */
  readonly allow: readonly Prefix[];
  readonly traps: readonly PortRange[];
  readonly ban: BanSettings;
  /** Absent: what banned sources send is dropped. */
  readonly tarpit?: TarpitSettings;
  readonly state: { readonly dir: string };
  readonly control: { readonly socket: string };
  /** Empty: the interfaces that have a default route, else all. `any` alone: all. */
  readonly capture: { readonly interfaces: readonly string[] };
  /** In the order of the file, by unique names. */
  readonly doors: readonly PosternDoor[];
  /** Besides the ports with a listener. */
  readonly publicPorts: readonly PortRange[];
  readonly log: {
    readonly syslog: boolean;
    readonly journald: boolean;
    readonly format: 'text' | 'json';
    readonly file?: string;
    readonly level: 'error' | 'warning' | 'info' | 'debug';
  };
  readonly firewall: {
    readonly driver: 'nftables' | 'iptables' | 'ipfw' | 'pf' | 'command';
    /** The program of the driver `command`: there with it, and with no other. */
    readonly command?: readonly string[];
    /** `auto`: one of the others, by probing what this host does with unused ports. */
    readonly face: 'drop' | 'reset' | 'mirror' | 'auto';
    readonly ipv6Prefix: number;
  };
  /** Milliseconds and bytes. */
  readonly journal: { readonly keep: number; readonly size: number };
}

/** The port that banned sources are to be led to, if they are. */
export function tarpitPort({ tarpit, mode }: PosternConfig): number | undefined {
  return mode === 'observe' ? undefined : tarpit?.port;
}
