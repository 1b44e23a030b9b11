/** A daemon without doors behind it, for what talks to one: it answers from plain values and writes down what it was told to do. */

import {
  type Controlled,
  type DoorShown,
  type LiveEvent,
  Refusal,
  type Status,
  type Stranger,
} from '../../src/control/controlled.ts';
import type { HistoryEntry } from '../../src/core/history.ts';

export const STATUS: Status = {
  version: '0.1.0',
  uptime_ms: 93_784_000,
  firewall: 'nftables',
  doors: [
    {
      name: 'ssh',
      protect: ['tcp/22'],
      grants: [
        { source: '192.0.2.7', remaining_ms: 24_300, via: 'knock' },
        { source: '2001:db8:1:2::', prefix: 64, remaining_ms: 3_661_000, via: 'hand', user: 'alice' },
      ],
    },
    { name: 'web', protect: ['tcp/80', 'tcp/8000-8010'], grants: [] },
  ],
  mode: 'guard',
  bans: [{ source: '198.51.100.66', remaining_ms: 599_000, via: 'points', reason: '20 points' }],
  allowed: [],
  watcher: {
    pid: 4242,
    restarts: 0,
    attempts: 2,
    received: 123_456,
    lost: 0,
    drops: { truncated: 3, 'link-type': 1 },
    sighted: 12,
    strangers: 3,
    confinement: 'landlock 7, seccomp',
  },
  keeper: { pid: 4241, capabilities: ['CAP_NET_ADMIN', 'CAP_NET_RAW'] },
  warnings: [],
};

export const SSH: DoorShown = {
  name: 'ssh',
  protect: ['tcp/22'],
  open_for_ms: 30_000,
  renew: true,
  close: 'keep',
  steps: ['tcp/7000', 'udp/8000', 'tcp/9000'],
  within_ms: 10_000,
};

const NOON = Date.UTC(2030, 0, 31, 12);

export const ENTRIES: readonly HistoryEntry[] = [
  { id: 1, time: NOON, type: 'started' },
  { id: 2, time: NOON + 1500, type: 'opened', door: 'ssh', source: '192.0.2.7', via: 'knock' },
  { id: 3, time: NOON + 2000, type: 'failed', door: 'ssh', source: '192.0.2.9', reason: 'strays' },
  { id: 4, time: NOON + 31_500, type: 'expired', door: 'ssh', source: '192.0.2.7', via: 'knock' },
];

export const STRANGERS: readonly Stranger[] = [
  {
    source: '198.51.100.66',
    since: NOON - 3_600_000,
    last: NOON,
    traps: 3,
    closed: 12,
    unused: 90,
    scans: 9,
    failed: 1,
    denied: 0,
    doors: ['ssh'],
    ports: ['tcp/23', 'tcp/22', 'tcp/81'],
    distinct: 95,
    points: 17.5,
    banned: true,
  },
];

export interface FakeControlled extends Controlled {
  /** Calls that change something, and questions with their arguments, in their order. */
  readonly calls: string[];
  /** Who opened. */
  readonly users: (string | undefined)[];
  /** Makes something happen for those who follow. */
  happen(event: LiveEvent): void;
  readonly following: number;
}

export function fakeControlled(changes: Partial<Controlled> = {}): FakeControlled {
  const calls: string[] = [];
  const users: (string | undefined)[] = [];
  const heard = new Set<(event: LiveEvent) => void>();
  const known = (door: string): void => {
    if (!['ssh', 'web'].includes(door)) throw new Refusal(`There is no door "${door}": there are ssh, web`);
  };
  return {
    calls,
    users,
    status: async () => STATUS,
    show: async (door) => {
      known(door);
      return door === 'ssh' ? SSH : { ...SSH, name: 'web', protect: ['tcp/80', 'tcp/8000-8010'], steps: [] };
    },
    open: async (door, source, duration, user) => {
      calls.push(`open ${door} ${source} ${duration}`);
      users.push(user);
      known(door);
      return { source, remaining_ms: duration ?? 30_000, via: 'hand' };
    },
    close: async (door, source) => {
      calls.push(`close ${door} ${source}`);
      known(door);
      return source === undefined ? 2 : source === '192.0.2.7' ? 1 : 0;
    },
    ban: async (source, duration, user) => {
      calls.push(`ban ${source} ${duration}`);
      users.push(user);
      if (source === '192.0.2.7') throw new Refusal('Cannot ban 192.0.2.7: a door is open for it');
      return { source, remaining_ms: duration ?? 600_000, via: 'hand' };
    },
    unban: async (source) => {
      calls.push(`unban ${source}`);
      return source === '198.51.100.66';
    },
    allow: async (source, duration, user) => {
      calls.push(`allow ${source} ${duration}`);
      users.push(user);
      return { source, remaining_ms: duration ?? 600_000, via: 'hand' };
    },
    disallow: async (source) => {
      calls.push(`disallow ${source}`);
      return false;
    },
    attackers: async (limit) => {
      calls.push(`attackers ${limit}`);
      return STRANGERS;
    },
    reload: async () => {
      calls.push('reload');
      return { doors: 2, warnings: [] };
    },
    namesOf: (source) => [source],
    log: async (query) => {
      calls.push(`log ${JSON.stringify(query)}`);
      return ENTRIES.filter(({ type }) => query.types?.includes(type) ?? true);
    },
    follow: (hear) => {
      heard.add(hear);
      return () => void heard.delete(hear);
    },
    ...changes,
    happen: (event) => {
      for (const hear of heard) hear(event);
    },
    get following() {
      return heard.size;
    },
  };
}
