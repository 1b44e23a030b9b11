/**
 * What may stand in postern.toml: the one place that knows. Validation, the JSON Schema for editors (doc/postern.schema.json) and the
 * reference page (doc/postern.toml.md) all come from here, so every key has its sentence, its default and an example.
 *
 * Sections are TOML tables. What a value has to be by itself is said here; what values have to be together is
 * in `postern-lower.ts` (errors) and `postern-lint.ts` (warnings).
 */

import * as v from 'valibot';
import { isTable, key, section, table } from './schema-parts.ts';
import {
  choice,
  command,
  doorName,
  duration,
  flag,
  interfaceName,
  path,
  ports,
  prefix,
  size,
  step,
  target,
  wholeNumber,
} from './schema-values.ts';
import { DEFAULT_STRAYS } from './strays.ts';
import { tarpit } from './tarpit-schema.ts';

const MAX_STEPS = 32;
/** What a person can want; the engine counts further. */
const MOST_STRAYS = 100;
const MOST_GRANTS = 1_000_000;
const MOST_POINTS = 1_000_000;

const knock = table({
  steps: key(
    v.pipe(v.array(step), v.minLength(1), v.maxLength(MAX_STEPS)),
    'The packets that open the door, in this order: protocol and destination port. Three or more, in no order, TCP and UDP mixed, are out of reach of a port scan.',
    {
      examples: [['tcp/7000', 'udp/8000', 'tcp/9000']],
      range: `1 to ${MAX_STEPS}`,
      aliases: ['sequence', 'ports', 'knock'],
    },
  ),
  within: v.optional(
    key(duration('100ms', '1h'), 'The time from the first step to the last.', {
      aliases: ['seq_timeout', 'timeout', 'window'],
    }),
    '10s',
  ),
  strays: v.optional(
    key(
      wholeNumber(0, MOST_STRAYS),
      'How many packets that are not the next step an attempt survives; 0 means that the first one ends it. Sequences that count up or down are held to fewer, so that a scan cannot knock.',
    ),
    DEFAULT_STRAYS,
  ),
  flags: v.optional(
    key(
      v.array(flag),
      'Which TCP packets count: flags that have to be on and, with "!", off. An empty list is every TCP packet. Only a plain SYN counts as a stray: where others knock, a scan with those may open the door.',
      { aliases: ['tcpflags', 'tcp_flags'], examples: [['syn', '!ack', '!rst', '!fin', '!urg']] },
    ),
    ['syn', '!ack', '!rst', '!fin'],
  ),
  target: v.optional(
    key(target, 'The only destination address that counts.', {
      fallback: 'every address of this machine',
      examples: ['192.0.2.1'],
    }),
  ),
});

const sources = table({
  allow: v.optional(
    key(v.pipe(v.array(prefix), v.minLength(1)), 'Who may knock: addresses and blocks. Leave it out for everybody.', {
      fallback: 'everybody',
      examples: [['192.0.2.0/24', '2001:db8::/32']],
      aliases: ['permit', 'trusted'],
    }),
  ),
  deny: v.optional(
    key(v.array(prefix), 'Who may not, whatever `allow` says.', {
      fallback: 'nobody',
      examples: [['192.0.2.66']],
      aliases: ['block', 'reject'],
    }),
  ),
});

/** A door by itself. */
export const door = v.pipe(
  table({
    protect: v.optional(
      key(v.pipe(v.array(ports), v.minLength(1)), 'The ports that are closed for everybody without a grant.', {
        examples: [['tcp/22']],
        fallback: 'none: the door has hooks alone',
        aliases: ['port', 'ports', 'service'],
      }),
    ),
    open_for: v.optional(
      key(duration('100ms', '365d'), 'How long the door stays open for a source.', {
        aliases: ['cmd_timeout', 'grant', 'ttl', 'duration'],
      }),
      '30s',
    ),
    renew: v.optional(
      key(v.boolean(), 'Whether a knock during a grant begins its time anew; otherwise it is ignored.'),
      true,
    ),
    close: v.optional(
      key(
        choice(['keep', 'cut', 'kill']),
        'What becomes of sessions when the time is over: they go on (`keep`), they stall until the next knock (`cut`), or they are reset (`kill`).',
      ),
      'keep',
    ),
    engine: v.optional(
      key(
        choice(['daemon', 'kernel']),
        'Who recognizes the knock: the watcher (`daemon`). `kernel`, rules that need no process, is not available yet and refused.',
      ),
      'daemon',
    ),
    boot: v.optional(
      key(
        choice(['closed', 'open']),
        'What the door is while the machine starts, until the daemon is ready: closed by `posternd --guard-only` (postern-guard.service), or `open` as if there were no Postern.',
      ),
      'closed',
    ),
    sources: v.optional(
      v.pipe(sources, v.description('Who may open the door by knocking. `postern open` is not held to these lists.')),
      {},
    ),
    limit: v.optional(
      key(
        wholeNumber(1, MOST_GRANTS),
        'How many sources may have the door open at the same time, when they knock. `postern open` is not held to it.',
        {
          fallback: 'no limit',
          examples: [20],
          aliases: ['max', 'max_grants'],
        },
      ),
    ),
    on_open: v.optional(
      key(
        command,
        'A program to run when the door opens, without a shell, as a list of its words. In its environment are POSTERN_DOOR, POSTERN_SOURCE (the address that knocked, or was named by hand), POSTERN_NETWORK (what the grant is for: that address, or of an IPv6 address its network, such as `2001:db8::/64`), POSTERN_VIA, POSTERN_EVENT and POSTERN_USER (empty for a knock). A renewal runs no hook, and over IPv6 a knock of a neighbour in the same network is one.',
        {
          fallback: 'none',
          examples: [['/usr/bin/logger', '-t', 'postern', 'open']],
          aliases: ['command', 'start_command', 'hook'],
        },
      ),
    ),
    on_close: v.optional(
      key(
        command,
        'A program to run when a grant has ended, with the same environment as when it began; of a grant whose opener is not known, POSTERN_SOURCE is the first address of its network.',
        {
          fallback: 'none',
          examples: [['/usr/local/sbin/door-closed']],
          aliases: ['stop_command'],
        },
      ),
    ),
    hook_timeout: v.optional(key(duration('100ms', '1h'), 'How long a hook may run before it is killed.'), '10s'),
    knock: v.optional(
      v.pipe(
        knock,
        v.description(
          'How the door is knocked on. Without this section it is opened by hand only, with `postern open`.',
        ),
      ),
    ),
  }),
  v.metadata({ oneOf: ['protect', 'on_open'] }),
);

/** The whole file. */
export const posternSchema = table({
  mode: v.optional(
    key(
      choice(['guard', 'observe']),
      'Whether closed ports are closed (`guard`), or what would be dropped is only counted and let through (`observe`).',
    ),
    'guard',
  ),
  allow: v.optional(
    key(v.array(prefix), 'Trusted sources: every door is open for them at any time, and they are never banned.', {
      examples: [['192.0.2.7', '2001:db8:7::/48']],
      aliases: ['trusted', 'whitelist', 'allowlist', 'always_allow'],
    }),
    [],
  ),
  trap: v.optional(
    key(
      v.array(ports),
      'Ports that no honest client touches: a SYN, a datagram or a probe to one of them tells an attacker.',
      {
        examples: [['tcp/23', 'tcp/3389']],
        aliases: ['traps', 'honeypot'],
      },
    ),
    [],
  ),
  ban: section(
    {
      after: v.optional(
        key(
          wholeNumber(1, MOST_POINTS),
          'How many points ban a source: 1 for a packet to a protected port without a grant and for a knock that failed, 3 for a scan, 5 for a trap.',
          { fallback: 'nobody is banned by itself', examples: [20], aliases: ['score', 'points', 'threshold'] },
        ),
      ),
      within: v.optional(
        key(duration('1s', '7d'), 'The time in which as many points as `after` says are forgotten, evenly.', {
          aliases: ['findtime', 'window'],
        }),
        '10m',
      ),
      for: v.optional(
        key(duration('1s', '365d'), 'How long a ban lasts.', { aliases: ['bantime', 'time', 'duration'] }),
        '10m',
      ),
    },
    'Whom nobody listens to for a while. A right knock ends a ban that points brought about, so that forged packets cannot lock anybody out.',
  ),
  tarpit: v.optional(tarpit),
  state: section(
    {
      dir: v.optional(
        key(path, 'The directory of grants, history and everything that has to survive a restart.', {
          aliases: ['directory', 'path'],
        }),
        '/var/lib/postern',
      ),
    },
    'Where the state is kept. Relative paths in the file count from the directory of the file.',
  ),
  control: section(
    {
      socket: v.optional(
        key(path, 'The Unix socket that `postern` and others talk to.', {
          fallback: '`control.sock` in `dir` of [state]',
          examples: ['/run/postern/control.sock'],
          aliases: ['path', 'listen'],
        }),
      ),
    },
    'How the daemon is talked to.',
  ),
  capture: section(
    {
      interfaces: v.optional(
        key(
          v.pipe(v.array(interfaceName), v.minLength(1)),
          'Where knocks are listened for: interfaces, or "any" alone for all of them.',
          {
            fallback: 'those with a default route, else all',
            examples: [['eth0', 'wg0']],
            aliases: ['interface', 'listen', 'devices'],
          },
        ),
      ),
    },
    'How packets are read.',
  ),
  public: section(
    {
      ports: v.optional(
        key(
          v.array(ports),
          'Ports besides those with a listener that anybody may use: a packet to one of them is no stray.',
          {
            examples: [['tcp/80', 'tcp/443']],
            aliases: ['port'],
          },
        ),
        [],
      ),
    },
    'What is meant for everybody.',
  ),
  log: section(
    {
      syslog: v.optional(
        key(v.boolean(), 'Whether the log goes to syslog (facility `daemon`).', { aliases: ['usesyslog'] }),
        true,
      ),
      journald: v.optional(
        key(
          v.boolean(),
          'Whether the log goes to the systemd journal, with a field for each part of an event; syslog gets what the journal does not take.',
          { aliases: ['journal', 'systemd'] },
        ),
        false,
      ),
      format: v.optional(
        key(
          choice(['text', 'json']),
          'What a line is in syslog, the file and on standard output: words, or the object that `postern log --json` prints.',
        ),
        'text',
      ),
      file: v.optional(
        key(
          path,
          'A file that the log is appended to as well. Its folder is made where it is missing, for its owner alone.',
          {
            fallback: 'none',
            examples: ['/var/log/postern/postern.log'],
            aliases: ['logfile'],
          },
        ),
      ),
      level: v.optional(
        key(choice(['error', 'warning', 'info', 'debug']), 'How much of it: each level has those before it.'),
        'info',
      ),
    },
    'The log for people.',
  ),
  firewall: section(
    {
      driver: v.optional(
        key(
          choice(['nftables', 'iptables', 'ipfw', 'pf', 'command']),
          'Whose rules close the ports. `iptables` needs ipset; `ipfw` is for FreeBSD, `pf` for OpenBSD and FreeBSD; `command` is a program of your own.',
          { aliases: ['backend', 'type'] },
        ),
        'nftables',
      ),
      command: v.optional(
        key(
          command,
          'The program that does the work of the driver `command`, without a shell, as a list of its words: `["/usr/local/sbin/firewall"]`. What it is asked is in firewalls.md. With another driver it is an error.',
          { fallback: 'none' },
        ),
      ),
      face: v.optional(
        key(
          choice(['drop', 'reset', 'mirror', 'auto']),
          'What a closed port looks like: nothing answers (`drop`); it refuses, as on a host without a firewall (`reset`); new connections are handed to an unused port of this host (`mirror`); or it answers what this host answers at unused ports, read from its rules at the start and at reloads (`auto`).',
        ),
        'auto',
      ),
      ipv6_prefix: v.optional(
        key(
          wholeNumber(32, 128),
          'A grant for an IPv6 source is for its network of this many bits, because one host has many addresses in it.',
          { aliases: ['ipv6', 'prefix'] },
        ),
        64,
      ),
    },
    'What closes the ports.',
  ),
  journal: section(
    {
      keep: v.optional(
        key(duration('1h', '3650d'), 'How long the history is kept.', { aliases: ['retention', 'max_age'] }),
        '90d',
      ),
      size: v.optional(
        key(size, 'How large the history may grow; the oldest goes first.', { aliases: ['max_size', 'limit'] }),
        '100MB',
      ),
    },
    'The history that `postern log` shows.',
  ),
  door: v.optional(
    v.pipe(
      v.custom<Readonly<Record<string, v.InferInput<typeof door>>>>(isTable),
      v.record(doorName, door),
      v.description(
        'A door: what is closed, and how it opens. Its name is a letter, then letters, digits, "_" and "-", at most 32.',
      ),
    ),
    {},
  ),
});

/** The file as it was written, checked, with defaults and with every text read. */
export type PosternDraft = v.InferOutput<typeof posternSchema>;
export type DoorDraft = PosternDraft['door'][string];
