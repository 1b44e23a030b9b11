/**
 * `postern init`: a first configuration, after four questions or with `--yes`: which interface, which port, for how long, and whether to
 * put it in force at once. The knock is random; the file is the owner's alone, and one that is there is never touched.
 */

import { randomInt } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { renderUnicodeCompact } from 'uqr';
import { generateSequence } from '../config/generated-sequence.ts';
import { holdsPort, parsePorts, portsMeant } from '../config/ports.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import type { Problem } from '../config/problem.ts';
import { printToml } from '../config/reading.ts';
import { printSteps, type Step } from '../core/door.ts';
import { reasonOf } from '../keeper/journal.ts';
import { createFolder } from '../platform/folder.ts';
import { interfaceNames } from '../platform/interfaces.ts';
import { portsInUse } from '../platform/listeners.ts';
import { sshPorts } from '../platform/ssh-server.ts';
import { applyAndWait, confirmWithinOption } from './apply.ts';
import { jsonOption, readTimeText } from './arguments.ts';
import { controlCommand } from './ask.ts';
import { DEFAULT_CONFIG, posternCommand } from './daemon-socket.ts';
import { describeSshPorts, ourAddress, sshPortsOf, usualInterfaces } from './host-choices.ts';
import { bootRemark, hostRemarks } from './init-remarks.ts';
import { absolute } from './load-knockd-conf.ts';
import type { Terminal } from './terminal.ts';
import { judgeInterfaces } from './ways-in.ts';

interface InitOptions {
  readonly yes?: true;
  readonly state?: string;
  readonly interface?: readonly string[];
  readonly protect?: readonly string[];
  readonly openFor?: string;
  readonly apply: boolean;
  readonly confirmWithin: string;
  readonly json?: true;
}

interface Choices {
  readonly interfaces: readonly string[];
  readonly protect: readonly string[];
  readonly openFor: string;
  /** What the door is called: `ssh` where SSH is behind it. */
  readonly door: string;
}

const STEPS = 6;
const USUAL_TIME = '30s';
const SSH_PORT = 22;

export function addInit(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'init')
    .description('write a first configuration with a random knock, and put it in force')
    .option('-y, --yes', 'ask nothing: take what is given here, and what is usual')
    .option('--state <folder>', 'where the daemon keeps its state')
    .addOption(
      new Option(
        '-i, --interface <name>',
        'where knocks come in; may be given again (usual: where this session came in, and the way out)',
      ).argParser(readInterface),
    )
    .addOption(
      new Option(
        '-p, --protect <port>',
        'what disappears, such as tcp/22; may be given again (usual: the SSH ports)',
      ).argParser(readProtected),
    )
    .addOption(
      new Option('--open-for <duration>', `how long it opens (usual: ${USUAL_TIME})`).argParser(readTimeText()),
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
  if (options.apply && process.geteuid?.() !== 0)
    return refuse('Only root can put a configuration in force', 'Run it with sudo; or only write the file: --no-apply');
  const file = absolute(config);
  const isThere = (): number =>
    refuse(
      `${config} is there already`,
      `Edit it, then ${posternCommand(config, 'apply')}; or move it away: mv ${config} ${config}.old`,
    );
  if (existsSync(file)) return isThere();
  const found = options.protect === undefined ? await sshPorts() : undefined;
  // Standard output is a JSON document and nothing else, where it is one.
  const talk = options.json ? stderr : stdout;
  if (options.protect === undefined) talk.write(`${describeSshPorts(terminal, found)}\n`);
  const ssh = sshPortsOf(terminal, found);
  const usual = usualChoices(options, terminal, ssh);
  const chosen = options.yes || !terminal.question ? usual : await askFor(usual, ssh, terminal.question, terminal);
  const steps = stepsBeside(chosen.protect);
  if (!steps) return refuse(NO_PORTS.message, NO_PORTS.hint);
  const text = printConfig(chosen, steps, options.state === undefined ? undefined : absolute(options.state));
  const problems = problemsOf(text, config);
  if (problems.length > 0) {
    stderr.write(printProblems(problems));
    return 1;
  }
  try {
    createFolder(dirname(file));
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      return refuse(`${config}: ${reasonOf(error)}`, 'Name another file: --config FILE');
    return isThere();
  }
  const knock = `knock ${ourAddress(chosen.interfaces, terminal)} ${clientSteps(steps)}`;
  if (options.json) {
    const { openFor, ...rest } = chosen;
    const document = { config: file, ...rest, open_for: openFor, steps: steps.map(printStep), knock };
    stdout.write(`${JSON.stringify(document)}\n`);
  } else {
    stdout.write(describe(config, chosen, knock));
  }
  let status = 0;
  if (options.apply) {
    status = await applyAndWait({
      command,
      terminal: { ...terminal, stdout: talk },
      yes: options.yes === true,
      within: options.confirmWithin,
      knock,
    });
  } else {
    for (const line of await hostRemarks(file)) stderr.write(`${line}\n`);
    talk.write(`Put it in force, as root: ${posternCommand(config, 'apply')}\n`);
  }
  if (status === 0) talk.write(`${bootRemark(file)}\n`);
  return status;
}

/** What is given, else what this machine looks like. */
function usualChoices(
  { interface: interfaces, protect, openFor }: InitOptions,
  terminal: Terminal,
  ssh: readonly number[],
): Choices {
  return withName(
    {
      interfaces: interfaces ?? usualInterfaces(terminal),
      protect: protect ?? ssh.map((port) => `tcp/${port}`),
      openFor: openFor ?? USUAL_TIME,
      door: 'ssh',
    },
    ssh,
  );
}

function withName(chosen: Choices, ssh: readonly number[]): Choices {
  const isSsh = chosen.protect.some((ports) => [...ssh, SSH_PORT].some((port) => ports === `tcp/${port}`));
  return { ...chosen, door: isSsh || chosen.protect.length === 0 ? 'ssh' : 'door' };
}

/** `--interface`, which may be given again. */
function readInterface(text: string, before: readonly string[] = []): readonly string[] {
  const names = ['any', ...interfaceNames()];
  if (!names.includes(text))
    throw new InvalidArgumentError(`There is no such interface; there are ${names.join(', ')}.`);
  return [...before, text];
}

/** `--protect`, which may be given again. */
function readProtected(text: string, before: readonly string[] = []): readonly string[] {
  const ports = portsMeant(text);
  const reading = parsePorts(ports);
  if ('message' in reading) throw new InvalidArgumentError(`${reading.hint}.`);
  return [...before, ports];
}

/** Asks again for what cannot be used; Ctrl-C is the way out. Each answer is judged by itself, and all of them together by who calls. */
async function askFor(
  usual: Choices,
  ssh: readonly number[],
  question: (text: string) => Promise<string>,
  terminal: Pick<Terminal, 'stderr' | 'environment'>,
): Promise<Choices> {
  const { stderr } = terminal;
  let chosen = usual;
  const ask = async (text: string, standard: string, choose: (answer: string) => Partial<Choices>): Promise<void> => {
    for (;;) {
      const answer = choose((await question(`${text} [${standard}]: `)).trim() || standard);
      const steps = stepsBeside(answer.protect ?? HARMLESS.protect);
      const problems = steps ? problemsOf(printConfig({ ...HARMLESS, ...answer }, steps), DEFAULT_CONFIG) : [NO_PORTS];
      if (problems.length === 0) {
        chosen = { ...chosen, ...answer };
        return;
      }
      stderr.write(printProblems(problems));
    }
  };
  await ask('Where do knocks come in?', usual.interfaces.join(' '), (faces) => ({ interfaces: split(faces) }));
  // It may be meant so.
  for (const { status, message } of judgeInterfaces({ capture: chosen, doors: [] }, terminal))
    if (status !== 'ok') stderr.write(`warning: ${message}\n`);
  await ask('Which ports disappear?', usual.protect.join(' '), (ports) => ({ protect: split(ports).map(portsMeant) }));
  await ask('For how long does a knock open them?', usual.openFor, (openFor) => ({ openFor }));
  return withName(chosen, ssh);
}

const NO_PORTS = {
  message: 'No ports are left for a knock',
  hint: 'Let fewer ports disappear: a knock needs some of TCP and some of UDP',
};

/** What no answer can be wrong beside. */
const HARMLESS: Choices = { interfaces: ['any'], protect: ['tcp/1'], openFor: USUAL_TIME, door: 'door' };
function split(answer: string): readonly string[] {
  return answer.split(/[\s,]+/);
}

/** Without places in the file, which is not written yet. */
function printProblems(problems: readonly Pick<Problem, 'message' | 'hint'>[]): string {
  return problems.map(({ message, hint }) => `${message}\nhint: ${hint}\n`).join('');
}

function problemsOf(text: string, file: string): readonly Problem[] {
  const surroundings = { interfaces: interfaceNames() };
  return parsePosternToml(text, { file, directory: dirname(absolute(file)), surroundings }).problems;
}

/** A random knock on ports that nobody uses, or will; undefined when there are not enough of them. */
function stepsBeside(protect: readonly string[]): readonly Step[] | undefined {
  const listening = new Set(portsInUse().map(({ port }) => port));
  const closed = protect.map(parsePorts).flatMap((reading) => ('value' in reading ? [reading.value] : []));
  const isTaken = (step: Step): boolean => listening.has(step.port) || holdsPort(closed, step);
  try {
    return generateSequence({ length: STEPS, isTaken, random: (below) => randomInt(below) });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function printConfig({ interfaces, protect, openFor, door }: Choices, steps: readonly Step[], state?: string): string {
  const sections = [
    ...(state === undefined ? [] : ['[state]', `dir = ${printToml(state)}`, '']),
    '[capture]',
    `interfaces = ${printToml(interfaces)}`,
    '',
    `[door.${door}]`,
    `protect = ${printToml(protect)}`,
    `open_for = ${printToml(openFor)}`,
    '',
    `[door.${door}.knock]`,
    `steps = ${printToml(steps.map(printStep))}`,
    'within = "10s"',
  ];
  return `# By "postern init". Who can read the steps can open the door.\n\n${sections.join('\n')}\n`;
}

/** The knock comes last: under the code that is taller than a terminal. */
function describe(config: string, { protect, openFor }: Choices, knock: string): string {
  const qr = renderUnicodeCompact(knock, { border: 2 });
  return [
    `${config}: ${protect.join(', ')} opens for ${openFor} to whoever knocks`,
    '',
    qr,
    '',
    'Above for a phone, here for a shell, and nobody else is to have it:',
    '',
    `  ${knock}`,
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
