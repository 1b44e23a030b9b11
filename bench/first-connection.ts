/**
 * From a knock's last packet to the first answered SYN at the door's port, tried twice a millisecond: capture, decision, and the way into the
 * kernel's set. Ours is posternd; knockd's door runs `nft add element` on a set that a rule of its own asks.
 */

import { STEPS } from './daemon.ts';
import type { Figure, Target } from './figure.ts';
import { startKnocker } from './knocker.ts';
import { type Bench, type Measurement, withDaemon } from './measurement.ts';
import { FIRST_PORT, startNative } from './native-daemon.ts';

const OPEN: Target = {
  text: 'median < 2 ms, p95 < 5 ms',
  met: (ours) => ours.median < 2 && ours.p95 < 5,
};
/** Routed to the client, so that answers reach it, and none of its own. */
const SOURCES = '10.97.0.0/16';
const FIRST_SOURCE = '10.97.0.1';
const LISTEN = `require('node:net').createServer().listen(${FIRST_PORT}, () => console.log('ready'))`;
const KNOCKD_GUARD = `table inet knockd {
  set allowed { type ipv4_addr; flags timeout; }
  chain input {
    type filter hook input priority 0;
    tcp dport ${FIRST_PORT} ip saddr @allowed accept
    tcp dport ${FIRST_PORT} drop
  }
}
`;
const COMMAND = 'nft add element inet knockd allowed { %IP% timeout 30s }';

export const firstConnection: Measurement = {
  name: 'accept',
  title: 'last packet of a knock to the first accepted connection',
  run: async (bench): Promise<readonly Figure[]> => {
    const { server, client } = bench;
    const listener = server.spawn([process.execPath, '-e', LISTEN]);
    await listener.waitForLine(/^ready$/);
    await server.exec(['ip', 'route', 'replace', SOURCES, 'via', client.address4]);
    const samples = { ours: [] as number[], knockd: [] as number[] };
    const [rounds, count] = bench.quick ? [1, 25] : [4, 25];
    try {
      for (let round = 1; round <= rounds; round += 1) {
        bench.tell(`accept: round ${round} of ${rounds}, ours`);
        const native = await startNative(bench, 1);
        try {
          samples.ours.push(...(await enter(bench, count)));
        } finally {
          await native.stop();
          await server.exec(['nft', 'flush', 'ruleset']);
        }
        bench.tell(`accept: round ${round} of ${rounds}, knockd`);
        await server.exec(['nft', '-f', '-'], { input: KNOCKD_GUARD });
        samples.knockd.push(...(await withDaemon(bench, 'knockd', { command: COMMAND }, () => enter(bench, count))));
        await server.exec(['nft', 'flush', 'ruleset']);
      }
    } finally {
      await listener.stop();
      await server.exec(['nft', 'flush', 'ruleset']);
      await server.exec(['ip', 'route', 'del', SOURCES], { mayFail: true });
    }
    return [{ name: 'last packet → first answered SYN', unit: 'ms', ...samples, target: OPEN }];
  },
};

async function enter(bench: Bench, count: number): Promise<readonly number[]> {
  const knocker = startKnocker(bench.client);
  try {
    const order = { firstSource: FIRST_SOURCE, destination: bench.server.address4, ports: STEPS, port: FIRST_PORT };
    return await knocker.enter({ ...order, count });
  } finally {
    await knocker.stop();
  }
}
