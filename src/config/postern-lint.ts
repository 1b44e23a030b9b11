/**
 * What is doubtful about the doors of postern.toml (the lints of the kernel experiments): knocks that a scan makes, steps
 * that other packets look like, doors that nobody can open. Warnings all; nothing here stops a start.
 */

import { family } from '../core/address.ts';
import { ACK, type Door, FIN, RST, type Step, SYN } from '../core/door.ts';
import { contains, networkOf, type PortRange, type Prefix } from '../core/policy.ts';
import { holdsPort, printPorts, printStep } from './ports.ts';
import type { PosternConfig, PosternDoor } from './postern-config.ts';
import { printPrefix } from './prefix.ts';
import { type Finding, finding, quote } from './problem.ts';
import { printDuration } from './quantity.ts';
import type { PathFinding } from './schema-problems.ts';
import { lintNeighbours, lintScan, type Sequenced } from './sequence-lint.ts';
import { countingGaps } from './strays.ts';
import type { Surroundings } from './surroundings-lint.ts';

/** Where the keys of a door stand. */
export type LineOf = (path: readonly (string | number)[]) => number;

const LONGEST_WINDOW = 300_000;
const SSH: Step = { protocol: 'tcp', port: 22 };

export interface LintContext {
  readonly publicPorts: readonly PortRange[];
  readonly traps: readonly PortRange[];
  readonly firewall: Pick<PosternConfig['firewall'], 'ipv6Prefix'>;
  readonly surroundings: Surroundings;
  readonly lineOf: LineOf;
  /** What the file asks for, before it was held to less; by the door's name. */
  readonly strays: ReadonlyMap<string, number>;
  /** Doors with keys that could not be understood: what they lack is not to be missed. */
  readonly unsure: ReadonlySet<string>;
}

/** All warnings about the doors, and how they go together. */
export function* lintDoors(doors: readonly PosternDoor[], context: LintContext): Generator<PathFinding> {
  const guarded = new Guarded(doors);
  for (const door of doors) {
    if (!context.unsure.has(door.name)) yield* at(['door', door.name], lintReach(door));
    yield* at(['door', door.name, 'sources', 'deny'], lintDenied(door, context.firewall.ipv6Prefix));
    yield* lintShared(door, guarded);
    const { knock } = door;
    if (!knock) continue;
    yield* at(['door', door.name, 'knock', 'steps'], lintScan(knock.steps));
    yield* at(['door', door.name, 'knock', 'steps'], lintCounting(door, knock));
    yield* at(['door', door.name, 'knock', 'steps'], lintStrays(knock, context.strays.get(door.name)));
    yield* at(['door', door.name, 'knock', 'flags'], lintFlags(knock));
    yield* at(['door', door.name, 'knock', 'within'], lintWindow(knock));
    for (const [index, step] of knock.steps.entries()) {
      const path = ['door', door.name, 'knock', 'steps', index];
      yield* at(path, lintStep(step, knock.steps[index - 1], guarded, context));
    }
  }
  yield* lintTraps(doors, context);
  for (const { door, about } of lintNeighbours(doors.flatMap((door) => sequenced(door, context.lineOf)))) {
    yield { path: ['door', door.name, 'knock', 'steps'], about };
  }
}

function* at(path: PathFinding['path'], found: Iterable<Finding>): Generator<PathFinding> {
  for (const about of found) yield { path, about };
}

function sequenced({ name, line, knock }: PosternDoor, lineOf: LineOf): Sequenced[] {
  if (!knock) return [];
  const sequenceLine = lineOf(['door', name, 'knock', 'steps']);
  const target = knock.target && JSON.stringify(knock.target);
  return [
    { name, line, sequenceLine, steps: knock.steps, tcpFlags: knock.tcpFlags, ...(target !== undefined && { target }) },
  ];
}

/** Which door protects a port: the first one that does, found without looking at all the others each time. */
class Guarded {
  readonly #byPort = new Map<string, PosternDoor>();
  readonly #wide: { readonly range: PortRange; readonly door: PosternDoor }[] = [];

  constructor(doors: readonly PosternDoor[]) {
    for (const door of doors) {
      for (const range of door.protect) {
        const name = printPorts(range);
        if (range.first !== range.last) this.#wide.push({ range, door });
        else if (!this.#byPort.has(name)) this.#byPort.set(name, door);
      }
    }
  }

  doorOf(step: Step): PosternDoor | undefined {
    return this.#byPort.get(printStep(step)) ?? this.#wide.find(({ range }) => holdsPort([range], step))?.door;
  }

  /** Another door before this one with a port of the range. */
  before(door: PosternDoor, range: PortRange): PosternDoor | undefined {
    const single = range.first === range.last ? this.#byPort.get(printPorts(range)) : undefined;
    if (single && single !== door && single.line < door.line) return single;
    const wide = this.#wide.find(
      (other) => other.door !== door && other.door.line < door.line && overlap(other.range, range),
    );
    if (wide || range.first === range.last) return wide?.door;
    for (const other of this.#byPort.values()) {
      if (other !== door && other.line < door.line && other.protect.some((own) => overlap(own, range))) return other;
    }
    return undefined;
  }
}

function overlap(x: PortRange, y: PortRange): boolean {
  return x.protocol === y.protocol && x.first <= y.last && y.first <= x.last;
}

/** Forged packets have somebody banned who is away; the one who runs this host should not be he. */
export function* lintBans({ ban, allow }: Pick<PosternConfig, 'ban' | 'allow'>): Generator<PathFinding> {
  if (ban.after === undefined || allow.length > 0) return;
  const message =
    'Sources are banned for their points, and none is trusted: forged packets in your name keep you out until you knock';
  const hint = 'Write the addresses that you come from into allow, before the first section: allow = ["192.0.2.7"]';
  yield { path: ['ban', 'after'], about: finding('warning', message, hint) };
}

/** Traps that honest clients touch. */
function* lintTraps(doors: readonly PosternDoor[], context: LintContext): Generator<PathFinding> {
  const { traps, publicPorts, surroundings } = context;
  const hint = 'Set traps at ports that nobody has a reason to touch, such as tcp/23';
  const tell = (message: string): PathFinding => ({ path: ['trap'], about: finding('warning', message, hint) });
  for (const door of doors) {
    const step = door.knock?.steps.find((each) => holdsPort(traps, each));
    if (step) yield tell(`The trap "${printStep(step)}" is a step of the door ${quote(door.name)}: it catches nobody`);
    const range = door.protect.find((each) => traps.some((trap) => overlap(trap, each)));
    if (range)
      yield tell(
        `The trap is a port that the door ${quote(door.name)} protects ("${printPorts(range)}"): whoever comes in is caught`,
      );
  }
  const open = surroundings.listening?.find(
    (port) => holdsPort(traps, port) && !doors.some((door) => holdsPort(door.protect, port)),
  );
  if (open)
    yield tell(`The trap "${printStep(open)}" is a port that somebody listens on: everybody who connects is caught`);
  const range = publicPorts.find((each) => traps.some((trap) => overlap(trap, each)));
  if (range) yield tell(`The trap is a public port ("${printPorts(range)}"): everybody who connects is caught`);
}

/** Two doors on one port: a grant of either is enough. */
function* lintShared(door: PosternDoor, guarded: Guarded): Generator<PathFinding> {
  for (const range of door.protect) {
    const other = guarded.before(door, range);
    if (!other) continue;
    const message = `The ports "${printPorts(range)}" are behind the door ${quote(other.name)} of line ${other.line} too: either one opens them`;
    yield {
      path: ['door', door.name, 'protect'],
      about: finding('warning', message, 'Merge the two doors, unless two knocks for one port are meant'),
    };
    return;
  }
}

/** Doors that nobody gets through, or nobody from outside. */
function* lintReach({ name, protect, knock, allow, deny }: PosternDoor): Generator<Finding> {
  if (!knock && holdsPort(protect, SSH)) {
    const message = `The door ${quote(name)} closes tcp/22 and has no knock: nobody comes in from outside`;
    yield finding('warning', message, `Add a section [door.${name}.knock] with steps`);
  }
  if (allow.length > 0 && allow.every((own) => deny.some((other) => covers(other, own)))) {
    yield finding(
      'warning',
      `Nobody can open the door ${quote(name)}: deny covers all that allow lists`,
      'Take what may knock out of deny',
    );
  }
  const everybody = (version: 4 | 6): boolean =>
    deny.some((prefix) => prefix.length === 0 && family(prefix.address) === version);
  if (allow.length === 0 && everybody(4) && everybody(6)) {
    yield finding(
      'warning',
      `Nobody can open the door ${quote(name)}: deny covers every address`,
      'Write an allow list alone',
    );
  }
}

/** What is denied that was not allowed, a slip in one of the two lists; or that a grant of somebody else lets in all the same. */
function* lintDenied({ allow, deny }: PosternDoor, ipv6Prefix: number): Generator<Finding> {
  for (const prefix of deny) {
    if (allow.length === 0 || allow.some((own) => covers(own, prefix) || covers(prefix, own))) {
      if (family(prefix.address) === 6 && prefix.length > ipv6Prefix) yield* lintNarrow(prefix, deny, ipv6Prefix);
      continue;
    }
    const message = `The address "${printPrefix(prefix)}" in deny is not allowed anyway`;
    yield finding('warning', message, 'Remove it from deny, or add what it is a part of to allow');
  }
}

/** A grant is for the whole network of who knocks. */
function* lintNarrow(prefix: Prefix, deny: readonly Prefix[], ipv6Prefix: number): Generator<Finding> {
  const network = { address: networkOf(prefix.address, ipv6Prefix), length: ipv6Prefix };
  if (deny.some((other) => covers(other, network))) return;
  const message = `The address "${printPrefix(prefix)}" in deny may not knock, but a neighbour's knock lets it in: a grant is for ${printPrefix(network)}`;
  yield finding('warning', message, `Deny "${printPrefix(network)}", or write ipv6_prefix = 128 in [firewall]`);
}

/** Is the second block inside the first? */
function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && contains(outer, inner.address);
}

/** Rules in the kernel count no strays. */
function* lintCounting({ engine }: PosternDoor, { steps }: Door): Generator<Finding> {
  const gaps = countingGaps(steps);
  if (engine !== 'kernel' || gaps === undefined || gaps === 0) return;
  const message = 'A scan that counts through the ports knocks this sequence: the kernel engine counts no strays';
  yield finding('warning', message, 'Change the order so that the ports go up and down, or mix UDP in');
}

function* lintStrays({ steps, strays }: Door, wanted: number | undefined): Generator<Finding> {
  if (wanted === undefined || strays >= wanted || countingGaps(steps) === 0) return;
  const message = `The sequence counts with few ports between its steps: it is held to ${strays} strays in place of ${wanted}`;
  yield finding('warning', message, `Change the order of the steps, or write strays = ${strays}`);
}

/** Only what opens a connection counts as a stray: of ACKs and FINs there are many that belong to this host's own sessions. */
function* lintFlags({ steps, tcpFlags }: Door): Generator<Finding> {
  const { set, clear } = tcpFlags;
  const others = ACK | RST | FIN;
  if ((set & SYN) !== 0 && (clear & others) === others) return;
  if (steps.every(({ protocol }) => protocol === 'udp')) return;
  const message = 'The flags let more knock than a plain SYN: a scan with such packets (ACK, FIN, RST) makes no strays';
  yield finding('warning', `${message}, and may open this door`, 'Leave flags out');
}

function* lintWindow({ window }: Door): Generator<Finding> {
  if (window <= LONGEST_WINDOW) return;
  const message = `A knock may take ${printDuration(window)}: so long a wait helps whoever tries port after port`;
  yield finding('warning', message, 'Write some seconds, such as within = "10s"');
}

function* lintStep(
  step: Step,
  before: Step | undefined,
  guarded: Guarded,
  { publicPorts, surroundings }: LintContext,
): Generator<Finding> {
  const name = `The step "${printStep(step)}"`;
  if (before && before.port === step.port && before.protocol === step.protocol) {
    const message = `${name} is there twice in a row: a packet that the network doubles looks like both`;
    yield finding('warning', message, 'Put another port between the two');
  }
  const door = guarded.doorOf(step);
  const hint = 'Use a port that nothing else uses';
  if (door)
    yield finding(
      'warning',
      `${name} is a port that the door ${quote(door.name)} protects: who tries that port knocks`,
      hint,
    );
  else if (surroundings.listening?.some((port) => port.port === step.port && port.protocol === step.protocol)) {
    yield finding('warning', `${name} is a port that somebody listens on: everybody who connects knocks`, hint);
  } else if (holdsPort(publicPorts, step))
    yield finding('warning', `${name} is a public port: everybody who connects knocks`, hint);
  const { localPorts } = surroundings;
  if (step.protocol !== 'udp' || !localPorts || step.port < localPorts.first || step.port > localPorts.last) return;
  if (localPorts.reserved.includes(step.port)) return;
  const range = `${localPorts.first}-${localPorts.last}`;
  const message = `${name} is among the ports of this host's own traffic (${range}): answers to it look like the step`;
  yield finding(
    'warning',
    message,
    `Use another port, or reserve it: sysctl -w net.ipv4.ip_local_reserved_ports=${step.port}`,
  );
}
