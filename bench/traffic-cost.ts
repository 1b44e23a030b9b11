/**
 * What our table costs traffic that is none of its business: packets a second through a veth pair and the server's whole receive path, with
 * the table, with connection tracking alone (which ufw, firewalld and docker turn on as well), and with neither, in turns.
 * send-streams.ts sends.
 */

import { REFUSING } from '../src/firewall/answers.ts';
import { guardRules } from '../src/firewall/nft-rules.ts';
import { doorPolicy, guardOf } from '../test/support/firewall-contract.ts';
import type { Host } from '../test/support/netns.ts';
import type { Figure } from './figure.ts';
import type { Measurement } from './measurement.ts';
import { summarize } from './statistics.ts';
import {
  ESTABLISHED_SOURCES,
  NEW_FLOWS,
  NEW_SOURCES,
  PUBLIC_PORT,
  STREAMS,
  type Stream,
  startStreams,
} from './streams.ts';

const DOORS = 10;
const SETTINGS = ['none', 'tracking', 'table'] as const;
type Setting = (typeof SETTINGS)[number];

const LISTEN = `require('node:net').createServer().listen(${PUBLIC_PORT}, () => console.log('ready'))`;
const ROUTES = [NEW_SOURCES, ESTABLISHED_SOURCES];

const RULES: Readonly<Record<Setting, string>> = {
  none: '',
  tracking: `table inet tracking {
  chain prerouting {
    type filter hook prerouting priority mangle;
    ct state invalid counter
  }
}
`,
  // As it is on a host without rules of its own.
  table: guardRules(
    guardOf(
      Array.from({ length: DOORS }, (_, index) => doorPolicy(`door${index}`, [`tcp/${2201 + index}`])),
      { face: 'auto', closed: { 4: REFUSING, 6: REFUSING }, labels: { upperHalf: false } },
    ),
  ),
};

export const trafficCost: Measurement = {
  name: 'traffic',
  title: 'packets a second of normal traffic with our table and without',
  run: async (bench) => {
    const { server, client } = bench;
    const listener = server.spawn([process.execPath, '-e', LISTEN]);
    await listener.waitForLine(/^ready$/);
    for (const route of ROUTES) await server.exec(['ip', 'route', 'replace', route, 'via', client.address4]);
    const [sender, answerer] = [startStreams(client), startStreams(server)];
    const rates = new Map<string, number[]>();
    const [rounds, repeated] = bench.quick ? [5, 20_000] : [15, 60_000];
    try {
      await useRules(server, 'tracking');
      await answerer.give({ do: 'bind' });
      await sender.give({ do: 'begin', server: server.address4 });
      await answerer.give({ do: 'answer' });
      for (let round = 1; round <= rounds; round += 1) {
        if (round % 5 === 1) bench.tell(`traffic: round ${round} of ${rounds}`);
        const first = round % SETTINGS.length;
        for (const setting of [...SETTINGS.slice(first), ...SETTINGS.slice(0, first)]) {
          await useRules(server, setting);
          for (const stream of STREAMS) {
            const rate = await sender.give({ do: 'send', stream, repeated });
            const key = `${stream} ${setting}`;
            rates.set(key, [...(rates.get(key) ?? []), rate]);
          }
          if (setting !== 'none') await prove(server);
        }
      }
    } finally {
      for (const program of [sender, answerer]) await program.stop();
      await listener.stop();
      await server.exec(['nft', 'flush', 'ruleset']);
      await server.exec(['conntrack', '-F'], { mayFail: true });
      for (const route of ROUTES) await server.exec(['ip', 'route', 'del', route], { mayFail: true });
    }
    return STREAMS.flatMap((stream) =>
      (['none', 'tracking'] as const).map((setting) => figureOf(stream, setting, rates)),
    );
  },
};

/** Puts nothing but these rules in force, and forgets new flows of earlier turns. */
async function useRules(server: Host, setting: Setting): Promise<void> {
  await server.exec(['nft', '-f', '-'], { input: `flush ruleset\n${RULES[setting]}` });
  await server.exec(['conntrack', '-D', '-s', NEW_SOURCES], { mayFail: true });
}

/** The kernel knows each flow: none came as part of another, was lost for want of room, or had its established one forgotten. */
async function prove(server: Host): Promise<void> {
  const { stdout } = await server.exec(['conntrack', '-L']);
  const tracked = stdout.split('\n');
  const fresh = tracked.filter((line) => /\[UNREPLIED\]/.test(line) && / dport=5353 /.test(line)).length;
  const answered = tracked.filter((line) => line.includes('src=10.99.') && !line.includes('[UNREPLIED]')).length;
  if (fresh === NEW_FLOWS && answered === 2) return;
  throw new Error(`Of ${NEW_FLOWS} new UDP flows the kernel knows ${fresh}, of two established ones ${answered}`);
}

function figureOf(stream: Stream, setting: 'none' | 'tracking', rates: ReadonlyMap<string, readonly number[]>): Figure {
  const withTable = rates.get(`${stream} table`) ?? [];
  const without = rates.get(`${stream} ${setting}`) ?? [];
  const [ours, theirs] = [withTable, without].map((samples) => Math.round(summarize(samples).median / 1000));
  const beside = setting === 'none' ? 'no rules' : 'connection tracking alone';
  return {
    name: `${stream}: kpps with our table by kpps with ${beside}`,
    unit: 'ratio',
    ours: withTable.map((rate, index) => rate / without[index]!),
    note: `${ours} by ${theirs}`,
  };
}
