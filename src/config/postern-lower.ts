/**
 * From postern.toml as it was read to doors and settings: paths become absolute, ranges are merged, strays are held to what
 * the sequence allows. What values have to be together is checked here, with errors.
 */

import { dirname, resolve } from 'node:path';
import type { Door, TcpFlags } from '../core/door.ts';
import { FLAG_BITS, mentionFlag } from './knockd-values.ts';
import { mergePorts } from './ports.ts';
import type { PosternConfig, PosternDoor } from './postern-config.ts';
import type { DoorDraft, PosternDraft } from './postern-schema.ts';
import { finding, quote } from './problem.ts';
import type { PathFinding } from './schema-problems.ts';
import { lowerStrays } from './strays.ts';

/** sun_path of unix(7), less the final NUL. */
const LONGEST_SOCKET = 107;

/** Every door that could be read; `lineOf` tells where one begins. */
export function lowerDoors(
  doors: Readonly<Record<string, DoorDraft>>,
  lineOf: (name: string) => number,
): readonly PosternDoor[] {
  return Object.entries(doors).map(([name, draft]) => lowerDoor(name, draft, lineOf(name)));
}

function lowerDoor(name: string, draft: DoorDraft, line: number): PosternDoor {
  const { on_open: onOpen, on_close: onClose, limit, knock } = draft;
  return {
    name,
    line,
    engine: draft.engine,
    boot: draft.boot,
    protect: mergePorts(draft.protect ?? []),
    openFor: draft.open_for,
    renew: draft.renew,
    close: draft.close,
    allow: draft.sources.allow ?? [],
    deny: draft.sources.deny ?? [],
    ...(limit !== undefined && { limit }),
    hooks: { ...(onOpen && { onOpen }), ...(onClose && { onClose }), timeLimit: draft.hook_timeout },
    ...(knock && { knock: lowerKnock(name, knock) }),
  };
}

function lowerKnock(name: string, knock: NonNullable<DoorDraft['knock']>): Door {
  const { steps, within, strays, flags, target } = knock;
  return {
    name,
    steps,
    window: within,
    strays: lowerStrays(steps, strays),
    tcpFlags: lowerFlags(flags),
    ...(target && { target }),
  };
}

function lowerFlags(flags: readonly string[]): TcpFlags {
  return flags.reduce<TcpFlags>(
    (mentioned, flag) => {
      const negated = flag.startsWith('!');
      return mentionFlag(mentioned, FLAG_BITS.get(flag.replace('!', '').toUpperCase()) ?? 0, negated);
    },
    { set: 0, clear: 0 },
  );
}

/** The settings around the doors. Relative paths count from `directory`. */
export function lowerSettings(draft: PosternDraft, directory: string): Omit<PosternConfig, 'doors'> {
  const { log, firewall, journal, ban, tarpit } = draft;
  const dir = resolve(directory, draft.state.dir);
  const socket = draft.control.socket;
  return {
    mode: draft.mode,
    allow: draft.allow,
    traps: mergePorts(draft.trap),
    ban: { ...(ban.after !== undefined && { after: ban.after }), within: ban.within, duration: ban.for },
    ...(tarpit && {
      tarpit: {
        port: tarpit.port,
        connections: tarpit.connections,
        perSource: tarpit.per_source,
        every: tarpit.every,
        duration: tarpit.for,
      },
    }),
    state: { dir },
    control: { socket: socket === undefined ? resolve(dir, 'control.sock') : resolve(directory, socket) },
    capture: { interfaces: [...new Set(draft.capture.interfaces ?? [])] },
    publicPorts: mergePorts(draft.public.ports),
    log: {
      syslog: log.syslog,
      journald: log.journald,
      format: log.format,
      level: log.level,
      ...(log.file !== undefined && { file: resolve(directory, log.file) }),
    },
    firewall: {
      driver: firewall.driver,
      ...(firewall.command && { command: firewall.command }),
      face: firewall.face,
      ipv6Prefix: firewall.ipv6_prefix,
    },
    journal: { keep: journal.keep, size: journal.size },
  };
}

/** Errors of a door that each of its values hides. */
export function* judgeDoor(name: string, { knock, engine }: DoorDraft): Generator<PathFinding> {
  if (engine === 'kernel') {
    const message = 'Cannot have the kernel recognize knocks: this version does not know how';
    const about = finding('error', message, 'Leave engine out: the daemon recognizes the knock');
    yield { path: ['door', name, 'engine'], about };
  }
  if (knock) {
    const seen = new Map<string, boolean>();
    for (const [index, flag] of knock.flags.entries()) {
      const [plain, negated] = [flag.replace('!', ''), flag.startsWith('!')];
      if (seen.has(plain) && seen.get(plain) !== negated) {
        const message = `The flag ${quote(plain)} is asked for both ways`;
        const about = finding('error', message, `Keep either "${plain}" or "!${plain}"`);
        yield { path: ['door', name, 'knock', 'flags', index], about };
      }
      seen.set(plain, negated);
    }
  }
}

/** Errors of the settings that each value hides. */
export function* judgeSettings(settings: Omit<PosternConfig, 'doors'>): Generator<PathFinding> {
  const { capture, control, allow, firewall } = settings;
  if (allow.some(({ length }) => length === 0)) {
    const about = finding(
      'error',
      'Cannot trust every address: no door would close',
      'Write the networks that you trust in allow, or set mode = "observe" to try things out',
    );
    yield { path: ['allow'], about };
  }
  if (capture.interfaces.length > 1 && capture.interfaces.includes('any')) {
    const about = finding(
      'error',
      'Cannot listen on "any" beside other interfaces',
      'Write interfaces = ["any"], or leave "any" out',
    );
    yield { path: ['capture', 'interfaces'], about };
  }
  if (firewall.driver === 'command' && firewall.command === undefined) {
    const message = 'The driver "command" has no program to run';
    const about = finding('error', message, 'Add command = ["/usr/local/sbin/firewall"] (see doc/firewalls.md)');
    yield { path: ['firewall', 'driver'], about };
  }
  if (firewall.driver !== 'command' && firewall.command !== undefined) {
    const message = `The driver ${quote(firewall.driver)} runs no program of yours`;
    const about = finding('error', message, 'Write driver = "command", or remove the line');
    yield { path: ['firewall', 'command'], about };
  }
  const length = Buffer.byteLength(control.socket);
  if (length > LONGEST_SOCKET) {
    const message = `Cannot use a socket whose path has ${length} bytes: the system takes ${LONGEST_SOCKET}`;
    yield {
      path: ['control', 'socket'],
      about: finding('error', message, 'Write a shorter path for socket in [control]'),
    };
  }
}

/** The directory that relative paths of a file count from. */
export function directoryOf(file: string): string {
  return dirname(resolve(file));
}
