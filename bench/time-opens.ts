/**
 * Run inside a namespace: `time-opens.ts DRIVER` installs a guard of one door by that driver, and beside it what a knockd door would work
 * on: an nftables set, or the INPUT chain of iptables. Orders and answers are JSON lines (program.ts).
 */

import { execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { ipv4, printAddress } from '../src/core/address.ts';
import { openDriver } from '../src/firewall/drivers.ts';
import { addSource, openSetName } from '../src/firewall/ipset.ts';
import { openSet, TABLE } from '../src/firewall/nft-rules.ts';
import { spawnSession, waitpid } from '../src/platform/libc.ts';
import { doorPolicy, guardOf } from '../test/support/firewall-contract.ts';

export type TimeOpens =
  /** Grants of an hour until this many live, put in by the kernel's own tools, and as many elements or rules of theirs. */
  | { readonly do: 'fill'; readonly live: number }
  /** Opens so many times more, in turns. */
  | { readonly do: 'time'; readonly ours: number; readonly theirs: number }
  | { readonly do: 'remove' };

/** Milliseconds each. */
export interface OpenTimes {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}

const DOOR = 'ssh';
const HOUR = 3_600_000;
const COMMENT = 'user=alice';
const THEIR_SET = 'table inet knockd { set allowed { type ipv4_addr; flags timeout; size 131072; }; }\n';
const CHUNK = 1000;
/** Addresses of the fill count up from here, those of timed opens from there. */
const [FILL, TIMED] = [0x0b00_0000, 0x0c00_0000];

const name = process.argv[2] ?? '';
const driver = openDriver(name);
await driver.install(guardOf([doorPolicy(DOOR, ['tcp/22'])]));
if (name === 'nftables') feed('nft', ['-f', '-'], THEIR_SET);
let filled = 0;
let opened = 0;

const source = (number: number): string => printAddress(ipv4(number));

function feed(program: string, argv: readonly string[], input: string): void {
  execFileSync(program, argv, { input, stdio: ['pipe', 'ignore', 'inherit'] });
}

function fill(live: number): void {
  const numbers = Array.from({ length: live - filled }, (_, index) => FILL + filled + index);
  filled = live;
  if (name === 'nftables') {
    const lines: string[] = [];
    for (let first = 0; first < numbers.length; first += CHUNK) {
      const some = numbers.slice(first, first + CHUNK).map(source);
      const [ours, theirs] = [
        some.map((from) => `${from} timeout 1h comment "${COMMENT}"`),
        some.map((from) => `${from} timeout 1h`),
      ];
      lines.push(`add element inet ${TABLE} ${openSet(DOOR, 4)} { ${ours.join(', ')} }`);
      lines.push(`add element inet knockd allowed { ${theirs.join(', ')} }`);
    }
    feed('nft', ['-f', '-'], `${lines.join('\n')}\n`);
    return;
  }
  const set = openSetName(DOOR, 4);
  const elements = numbers.map((number) => addSource(set, ipv4(number), HOUR, COMMENT));
  feed('ipset', ['restore', '-exist'], `${elements.join('\n')}\n`);
  const rules = numbers.map((number) => `-A INPUT -s ${source(number)} -p tcp --dport 22 -j ACCEPT`);
  feed('iptables-restore', ['--noflush'], `*filter\n${rules.join('\n')}\nCOMMIT\n`);
}

async function time(ours: number, theirs: number): Promise<OpenTimes> {
  const times = { ours: [] as number[], theirs: [] as number[] };
  const every = Math.ceil(ours / theirs);
  for (let index = 0; index < ours; index += 1) {
    const begin = performance.now();
    await driver.open({ door: DOOR, source: ipv4(TIMED + opened), remaining: HOUR, comment: COMMENT });
    times.ours.push(performance.now() - begin);
    if (index % every === 0) times.theirs.push(byShell(source(TIMED + opened)));
    opened += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return times;
}

/** As knockd runs a door's command: a shell, and no wait but for its end. */
function byShell(from: string): number {
  const command =
    name === 'nftables'
      ? `nft add element inet knockd allowed '{ ${from} timeout 1h }'`
      : `iptables -A INPUT -s ${from} -p tcp --dport 22 -j ACCEPT`;
  const begin = performance.now();
  const status = waitpid(spawnSession('/bin/sh', ['sh', '-c', command], environment));
  const took = performance.now() - begin;
  if (status !== 0) throw new Error(`"${command}" failed`);
  return took;
}

const environment = Object.entries(process.env).map(([key, value]) => `${key}=${value}`);

async function obey(order: TimeOpens): Promise<unknown> {
  if (order.do === 'time') return time(order.ours, order.theirs);
  if (order.do === 'fill') {
    fill(order.live);
    return undefined;
  }
  await driver.remove();
  if (name === 'nftables') feed('nft', ['delete', 'table', 'inet', 'knockd'], '');
  else feed('iptables', ['-F', 'INPUT'], '');
  return undefined;
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { id, order } = JSON.parse(line) as { id: number; order: TimeOpens };
  const say = (reply: object): void => void process.stdout.write(`${JSON.stringify({ id, ...reply })}\n`);
  obey(order).then(
    (answer) => say({ answer: answer ?? null }),
    (error: Error) => say({ error: error.message }),
  );
});
lines.on('close', () => process.exit(0));
