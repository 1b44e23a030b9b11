/**
 * `npm run bench`: our knockd beside Debian's, in one run, in network namespaces of its own, on the same packets.
 *
 * - `--quick` measures less and in a third of the time, `--only NAME[,NAME]` a part, `--sweeps N` so many sweeps of each order;
 *   `--list` names the measurements, `--json` prints figures for programs, `--write` puts the table into README.md, which says what
 *   each means.
 * - The table goes to standard output, progress to standard error. Times are reported, never asserted: the status is 1 when something
 *   could not be measured, and 0 however the figures look.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { createTopology, unavailable } from '../test/support/netns.ts';
import { cpuPerPacket } from './cpu-per-packet.ts';
import { startDaemon } from './daemon.ts';
import { engineCost } from './engine-cost.ts';
import { HEADING, printRow, type Row, rowOf } from './figure.ts';
import { firstConnection } from './first-connection.ts';
import { grantOpening } from './grant-opening.ts';
import { guardRestore } from './guard-restore.ts';
import { honestOpens } from './honest-opens.ts';
import { installPackage } from './installed-package.ts';
import { latency } from './latency.ts';
import type { Bench, Measurement } from './measurement.ts';
import { nativeLife } from './native-life.ts';
import { noKnock } from './no-knock.ts';
import { packetLoss } from './packet-loss.ts';
import { portSweeps } from './port-sweeps.ts';
import { trafficCost } from './traffic-cost.ts';
import { watcherRestart } from './watcher-restart.ts';

const MEASUREMENTS: readonly Measurement[] = [
  latency,
  cpuPerPacket,
  honestOpens,
  noKnock,
  packetLoss,
  watcherRestart,
  portSweeps,
  engineCost,
  grantOpening,
  firstConnection,
  trafficCost,
  nativeLife,
  guardRestore,
];

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      only: { type: 'string' },
      sweeps: { type: 'string' },
    },
  });
  if (values.list) {
    for (const { name, title } of MEASUREMENTS) process.stdout.write(`${name}\t${title}\n`);
    return 0;
  }
  const names = values.only?.split(',') ?? MEASUREMENTS.map(({ name }) => name);
  const unknown = names.filter((name) => !MEASUREMENTS.some((measurement) => measurement.name === name));
  const sweeps = values.sweeps === undefined ? undefined : Number(values.sweeps);
  if (unknown.length > 0) throw new Error(`No measurement "${unknown.join(',')}"; --list names them`);
  if (sweeps !== undefined && !(Number.isInteger(sweeps) && sweeps > 0 && sweeps <= 65_536)) {
    throw new Error(`Cannot make "${values.sweeps}" sweeps`);
  }
  const reason = unavailable('knockd', 'mkfifo', 'nft', 'iptables', 'ipset', 'conntrack');
  if (reason) throw new Error(`${reason}; run it as root on Linux; \`npm run bench\` installs what it needs`);

  const begin = performance.now();
  const tell = (text: string): void => {
    process.stderr.write(`${String(Math.round((performance.now() - begin) / 1000)).padStart(4)} s  ${text}\n`);
  };
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const before = machine();
  tell(`machine: ${before}`);
  tell('building the package');
  const program = await installPackage(join(folder, 'package'));
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const bench: Bench = {
    server,
    client,
    folder,
    quick: values.quick,
    sweeps,
    posternd: join(dirname(program), 'posternd'),
    start: (contestant, door) => startDaemon({ server, folder, program }, contestant, door),
    tell,
  };
  const rows: Row[] = [];
  const failures: string[] = [];
  for (const measurement of MEASUREMENTS.filter(({ name }) => names.includes(name))) {
    try {
      const figures = await measurement.run(bench);
      rows.push(...figures.map((figure) => rowOf(measurement.name, figure)));
    } catch (error) {
      failures.push(`${measurement.name}: ${(error as Error).message}`);
      tell(`could not measure ${failures.at(-1)}`);
    }
  }
  tell(`done; load average ${load()}`);
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ machine: before, rows, failures }, undefined, 2)}\n`);
  } else {
    const table = [...HEADING, ...rows.map(printRow)].join('\n');
    process.stdout.write(`${table}\n`);
    if (values.write && failures.length === 0) writeFigures(`${before}; at the end ${load()}`, table);
    for (const failure of failures) process.stdout.write(`could not measure ${failure}\n`);
  }
  return failures.length === 0 ? 0 : 1;
}

const BEGIN = '<!-- figures: npm run bench -- --write -->';
const END = '<!-- end of figures -->';

function writeFigures(about: string, table: string): void {
  const file = join(import.meta.dirname, 'README.md');
  const [head, rest] = readFileSync(file, 'utf8').split(BEGIN);
  const tail = rest?.split(END)[1];
  if (head === undefined || tail === undefined) throw new Error(`${file} has no place for the figures`);
  const day = new Date().toISOString().slice(0, 10);
  writeFileSync(file, `${head}${BEGIN}\n\n${day}, ${about}.\n\n${table}\n\n${END}${tail}`);
}

function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${cpus().length} × ${model}, ${memory}, Linux ${release()}, Node ${process.version}, load average ${load()}`;
}

function load(): string {
  return loadavg()
    .map((value) => value.toFixed(2))
    .join(' ');
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
