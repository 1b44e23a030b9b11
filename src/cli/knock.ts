/**
 * `knock [options] <host> <port[:proto]> ...`: the command line of knock 0.8, with its options, messages and output, and more.
 *
 * What differs: packets are 20 ms apart unless `-d` says otherwise; the host is resolved once; all ports are checked before the first packet;
 * the exit status tells whether every packet was sent (0) or not (1); `:UDP` is UDP. Importing this file does nothing; the launcher calls `main`.
 */

import { networkInterfaces } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { getSystemErrorMessage } from 'node:util';
import { type KnockClock, type KnockNetwork, type KnockReport, knock } from '../client/knock.ts';
import { ResolveError, resolveHost } from '../client/resolve.ts';
import { readServices, type Services } from '../client/services.ts';
import { openSockets } from '../client/sockets.ts';
import { type Interfaces, type Route, routeFromAddress, routeFromInterface, SourceError } from '../client/source.ts';
import { type NamedStep, parseStep } from '../client/step.ts';
import { calledAs } from './called-as.ts';
import { type KnockSettings, readCommand, USAGE } from './knock-options.ts';
import { readVersion } from './version.ts';

/** What `main` touches of the world; a test brings its own. */
export interface KnockWorld {
  /** The name that getopt's messages begin with. */
  readonly program: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly network: KnockNetwork;
  readonly clock: KnockClock;
  readonly resolve: typeof resolveHost;
  readonly services: () => Services;
  readonly interfaces: () => Interfaces;
}

/**
 * Runs `knock` with the arguments after the program's name. Resolves to the exit status when nothing of it is under way any more, so the
 * caller sets `process.exitCode` and lets the streams drain.
 */
export async function main(argv: readonly string[], world: Partial<KnockWorld> = {}): Promise<number> {
  const { program, environment, stdout, stderr, network, clock, ...sources } = { ...thisMachine(), ...world };
  const say = (line: string): unknown => stdout.write(`${line}\n`);
  const complain = (line: string): unknown => stderr.write(`${line}\n`);

  const refuse = (host: string, errors: readonly string[], json: boolean): number => {
    errors.forEach(complain);
    if (json) say(JSON.stringify({ host, ok: false, error: errors.join('\n'), hits: [] }));
    return 1;
  };

  const command = readCommand(argv, program, environment.POSIXLY_CORRECT === undefined ? 'permute' : 'options-first');
  if (command.do === 'version') {
    say(`knock 0.8 (postern ${readVersion()})`);
    say('A drop-in for knock 0.8 by Judd Vinet');
    return 0;
  }
  if (command.do === 'usage') {
    if (command.mistake) complain(command.mistake);
    stdout.write(USAGE);
    return 1;
  }
  if (command.do === 'refuse') {
    return refuse(command.host, command.errors, command.json);
  }

  const { host, ports, settings } = command;
  const { steps, errors, warnings } = readSteps(host, ports, sources.services, settings.allUdp);
  [...command.warnings, ...warnings].forEach(complain);
  const route = errors.length > 0 ? { errors } : await findRoute(host, ports, settings, sources);
  if ('errors' in route) {
    return refuse(host, route.errors, settings.json);
  }

  const { delay, repeat } = settings;
  const report = await knock({ route, steps, delay, repeat }, network, clock, (step) => {
    // With --json, standard output is the object's alone.
    if (settings.verbose) (settings.json ? complain : say)(`hitting ${step.protocol} ${route.to.address}:${step.name}`);
  });
  const last = report.hits.at(-1);
  if (last?.error) describeFailure(last.step, route, last.error).forEach(complain);
  if (settings.json) say(printReport(host, route, settings, steps.length * repeat, report));
  return last?.error ? 1 : 0;
}

function thisMachine(): KnockWorld {
  return {
    program: calledAs(),
    environment: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    network: openSockets(),
    clock: { now: () => performance.now(), pause: (delay) => pause(delay) },
    resolve: resolveHost,
    services: readServices,
    interfaces: networkInterfaces,
  };
}

function readSteps(host: string, ports: readonly string[], services: () => Services, allUdp: boolean) {
  const steps: NamedStep[] = [];
  const errors: string[] = [];
  const warnings: string[] = [];
  let read: Services | undefined;
  const readOnce = (): Services => {
    read ??= services();
    return read;
  };
  for (const text of ports) {
    const parsed = parseStep(text, readOnce, allUdp);
    if ('step' in parsed) {
      steps.push(parsed.step);
      if (parsed.unknownProtocol !== undefined) {
        warnings.push(`warning: "${text}": unknown protocol "${parsed.unknownProtocol}", hitting tcp`);
      }
    } else if (parsed.problem === 'no-such-service') {
      errors.push(...describeUnresolved(host, parsed.name, 'Servname not supported for ai_socktype'));
    } else {
      errors.push(`Cannot knock on port "${parsed.name}": port must be 1-65535`);
    }
  }
  return { steps, errors, warnings };
}

async function findRoute(
  host: string,
  ports: readonly string[],
  settings: KnockSettings,
  { resolve, interfaces }: Pick<KnockWorld, 'resolve' | 'interfaces'>,
): Promise<Route | { readonly errors: readonly string[] }> {
  try {
    const hosts = await resolve(host, settings.family);
    if (settings.source !== undefined) return routeFromAddress(settings.source, hosts);
    if (settings.interface !== undefined) return routeFromInterface(settings.interface, hosts, interfaces());
    return { to: hosts[0], from: undefined };
  } catch (error) {
    if (error instanceof SourceError) return { errors: [error.message] };
    if (!(error instanceof ResolveError)) throw error;
    return { errors: describeUnresolved(host, ports[0]?.split(':')[0] ?? '', error.message) };
  }
}

/** knock's own two lines, for a host or a service that has no number. */
function describeUnresolved(host: string, port: string, reason: string): readonly string[] {
  return [`Failed to resolve hostname '${host}' on port ${port}`, `getaddrinfo: ${reason}`];
}

const HINTS: ReadonlyMap<string, string> = new Map([
  ['EPERM', 'a firewall on this machine refuses the packet'],
  ['EADDRNOTAVAIL', 'the source must be an address of this machine'],
]);

function describeFailure(step: NamedStep, route: Route, error: NodeJS.ErrnoException): readonly string[] {
  const hint = HINTS.get(error.code ?? '');
  const line = `Cannot hit ${step.protocol} ${route.to.address}:${step.name}: ${reasonOf(error)}`;
  return hint === undefined ? [line] : [line, `hint: ${hint}`];
}

function reasonOf(error: NodeJS.ErrnoException): string {
  return error.errno === undefined ? error.message : getSystemErrorMessage(error.errno);
}

/** The object of `--json`: one line, times in milliseconds, `hits` in the order of the wire, each of its `round` from 1. */
function printReport(
  host: string,
  route: Route,
  { repeat, delay }: KnockSettings,
  planned: number,
  { hits, elapsed }: KnockReport<NamedStep>,
): string {
  const sent = hits.filter((hit) => !hit.error).length;
  return JSON.stringify({
    host,
    address: route.to.address,
    family: route.to.family,
    source: route.from ?? null,
    ok: sent === planned,
    planned,
    sent,
    repeat,
    delay,
    elapsed: Math.round(elapsed),
    hits: hits.map(({ round, step: { protocol, port }, error }) =>
      error ? { round, protocol, port, ok: false, error: reasonOf(error) } : { round, protocol, port, ok: true },
    ),
  });
}
