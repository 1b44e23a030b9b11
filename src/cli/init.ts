/**
 * `postern init`: a first configuration, after four questions or with `--yes`: which interface, which port, for how long, and whether to
 * put it in force at once. The knock is random; the file is the owner's alone, and one that is there is never touched.
 */

import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { type Command, Option } from 'commander';
import { renderUnicodeCompact } from 'uqr';
import { generateSequence } from '../config/generated-sequence.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import { type Problem, printProblem } from '../config/problem.ts';
import { printToml } from '../config/reading.ts';
import { isLoopback, printAddress } from '../core/address.ts';
import { printSteps, type Step } from '../core/door.ts';
import { reasonOf } from '../keeper/journal.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import { createFolder } from '../platform/folder.ts';
import { addressesOf, interfaceNames } from '../platform/interfaces.ts';
import { listeningPorts } from '../platform/listeners.ts';
import { applyAndWait, confirmWithinOption } from './apply.ts';
import { jsonOption, readDurationText } from './arguments.ts';
import { controlCommand } from './ask.ts';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { bootRemark, hostRemarks } from './init-remarks.ts';
import { absolute } from './load-knockd-conf.ts';
import { callersSession } from './ssh-session.ts';
import type { Terminal } from './terminal.ts';

interface InitOptions {
  readonly yes?: true;
  readonly state?: string;
  readonly interface?: string;
  readonly protect?: readonly string[];
  readonly openFor?: string;
  readonly apply: boolean;
  readonly confirmWithin: string;
  readonly json?: true;
}

interface Choices {
  readonly interface: string;
  readonly protect: readonly string[];
  readonly openFor: string;
}

const STEPS = 6;
const USUAL_TIME = '30s';
const SSH_PORT = 22;

export function addInit(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'init')
    .description('write a first configuration with a random knock, and put it in force')
    .option('-y, --yes', 'ask nothing: take what is given here, and what is usual')
    .option('--state <folder>', 'where the daemon keeps its state')
    .option('-i, --interface <name>', 'where knocks come in (usual: the way out)')
    .addOption(
      new Option(
        '-p, --protect <port>',
        'what disappears, such as tcp/22; may be given again (usual: the SSH port)',
      ).argParser((text: string, before: readonly string[] = []) => [...before, text]),
    )
    .addOption(
      new Option('--open-for <duration>', `how long it opens (usual: ${USUAL_TIME})`).argParser(readDurationText),
    )
    .option('--no-apply', 'only write the file')
    .addOption(confirmWithinOption())
    .addOption(jsonOption())
    .action(async (options: InitOptions, command: Command) => end(await init(options, command, terminal)));
}

async function init(options: InitOptions, command: Command, terminal: Terminal): Promise<number> {
  const { stdout, stderr } = terminal;
  const refuse = (message: string, hint: string, status = 1): number => {
    stderr.write(`postern: ${message}\nhint: ${hint}\n`);
    return status;
  };
  const { config = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
  if (!options.yes && !terminal.question)
    return refuse('There is nobody to ask', 'Add --yes, and what is to be otherwise', 2);
  const usual = usualChoices(options, terminal);
  const chosen = options.yes || !terminal.question ? usual : await askFor(usual, terminal.question, stderr);
  if (!chosen) return 1;
  const steps = randomSteps(chosen.protect);
  const file = absolute(config);
  const text = printConfig(chosen, steps, options.state === undefined ? undefined : absolute(options.state));
  const problems = problemsOf(text, config);
  if (problems.length > 0) {
    for (const problem of problems) stderr.write(`${printProblem(problem)}\n`);
    return 1;
  }
  try {
    createFolder(dirname(file));
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      return refuse(`${config}: ${reasonOf(error)}`, 'Name another file: --config FILE');
    return refuse(
      `${config} is there already`,
      `Edit it, then postern --config ${config} apply; or move it away: mv ${config} ${config}.old`,
    );
  }
  const knock = `knock ${ourAddress(chosen.interface, terminal)} ${clientSteps(steps)}`;
  if (options.json) {
    stdout.write(`${JSON.stringify({ config: file, ...chosen, steps: steps.map(printStep), knock })}\n`);
  } else {
    stdout.write(describe(config, chosen, knock));
  }
  let status = 0;
  if (options.apply) {
    status = await applyAndWait({ command, terminal, yes: options.yes === true, within: options.confirmWithin });
  } else {
    for (const line of await hostRemarks(file)) stderr.write(`${line}\n`);
    if (!options.json) stdout.write(`Put it in force: postern --config ${config} apply\n`);
  }
  if (status === 0 && !options.json) stdout.write(`${bootRemark(file)}\n`);
  return status;
}

/** What is given, else what this machine looks like. */
function usualChoices({ interface: face, protect, openFor }: InitOptions, terminal: Terminal): Choices {
  const outside = interfaceNames().find((name) => name !== 'lo');
  const port = callersSession(terminal.environment)?.port ?? SSH_PORT;
  return {
    interface: face ?? defaultRouteInterfaces()[0] ?? outside ?? 'any',
    protect: protect ?? [`tcp/${port}`],
    openFor: openFor ?? USUAL_TIME,
  };
}

/** Asks again for what cannot be used, but not for ever: undefined when nobody knows. */
async function askFor(
  usual: Choices,
  question: (text: string) => Promise<string>,
  stderr: Terminal['stderr'],
): Promise<Choices | undefined> {
  let chosen = usual;
  const ask = async (
    text: string,
    standard: string,
    choose: (answer: string) => Partial<Choices>,
  ): Promise<boolean> => {
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const answer = (await question(`${text} [${standard}]: `)).trim() || standard;
      const tried = { ...chosen, ...choose(answer) };
      const problems = problemsOf(printConfig(tried, randomSteps(tried.protect)), DEFAULT_CONFIG);
      if (problems.length === 0) {
        chosen = tried;
        return true;
      }
      for (const { message, hint } of problems) stderr.write(`${message}\nhint: ${hint}\n`);
    }
    return false;
  };
  const answered =
    (await ask('Where do knocks come in?', usual.interface, (face) => ({ interface: face }))) &&
    (await ask('Which ports disappear?', usual.protect.join(' '), (ports) => ({ protect: ports.split(/[\s,]+/) }))) &&
    (await ask('For how long does a knock open them?', usual.openFor, (openFor) => ({ openFor })));
  return answered ? chosen : undefined;
}

const MOST_TRIES = 3;

function problemsOf(text: string, file: string): readonly Problem[] {
  const surroundings = { interfaces: interfaceNames() };
  return parsePosternToml(text, { file, directory: dirname(absolute(file)), surroundings }).problems;
}

function randomSteps(protect: readonly string[]): readonly Step[] {
  return generateSequence({ length: STEPS, isTaken: taken(protect), random: (below) => randomInt(below) });
}

function taken(protect: readonly string[]): (step: Step) => boolean {
  const listening = new Set(listeningPorts());
  return (step) => listening.has(step.port) || protect.some((ports) => ports.endsWith(`/${step.port}`));
}

function printConfig({ interface: face, protect, openFor }: Choices, steps: readonly Step[], state?: string): string {
  const sections = [
    ...(state === undefined ? [] : ['[state]', `dir = ${printToml(state)}`, '']),
    '[capture]',
    `interfaces = ${printToml([face])}`,
    '',
    `[door.${doorName(protect)}]`,
    `protect = ${printToml(protect)}`,
    `open_for = ${printToml(openFor)}`,
    '',
    `[door.${doorName(protect)}.knock]`,
    `steps = ${printToml(steps.map(printStep))}`,
    'within = "10s"',
  ];
  return `# By "postern init". Who can read the steps can open the door.\n\n${sections.join('\n')}\n`;
}

function doorName(protect: readonly string[]): string {
  return protect.some((ports) => ports === `tcp/${SSH_PORT}`) || protect.length === 0 ? 'ssh' : 'door';
}

function describe(config: string, { protect, openFor }: Choices, knock: string): string {
  const qr = renderUnicodeCompact(knock, { border: 2 });
  return [
    `${config}: ${protect.join(', ')} opens for ${openFor} to whoever knocks`,
    '',
    `  ${knock}`,
    '',
    qr,
    '',
    '',
  ].join('\n');
}

function printStep({ protocol, port }: Step): string {
  return `${protocol}/${port}`;
}

/** As the `knock` command takes them. */
function clientSteps(steps: readonly Step[]): string {
  return printSteps(steps).replaceAll(':tcp', '').replaceAll(',', ' ');
}

/** By which a client knows this machine, as far as we can tell. */
function ourAddress(face: string, { environment }: Terminal): string {
  const session = callersSession(environment);
  if (session) return session.server;
  const [first] = addressesOf(face, false).filter((address) => !isLoopback(address));
  return first ? printAddress(first) : hostname();
}
