import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Knock, type KnockClock, type KnockNetwork, knock } from '../../src/client/knock.ts';
import type { Step } from '../../src/core/door.ts';

const ROUTE = { to: { address: '192.0.2.1', family: 4 }, from: undefined } as const;

/** A network and a clock that write down what is asked of them; the network takes 1 ms a packet and fails at the given one. */
function recorder(failAt = Number.POSITIVE_INFINITY) {
  const log: string[] = [];
  let time = 0;
  let packets = 0;
  const network: KnockNetwork = {
    async hit(step) {
      log.push(`> ${step.port}/${step.protocol}`);
      await Promise.resolve();
      time += 1;
      packets += 1;
      if (packets === failAt) throw Object.assign(new Error('no route'), { code: 'ENETUNREACH' });
      log.push(`< ${step.port}/${step.protocol}`);
    },
  };
  const clock: KnockClock = {
    now: () => time,
    async pause(delay) {
      log.push(`pause ${delay}`);
      time += delay;
    },
  };
  return { log, network, clock };
}

function plan(part: Partial<Knock>): Knock {
  return { route: ROUTE, steps: [{ protocol: 'tcp', port: 7000 }], delay: 20, repeat: 1, ...part };
}

const STEPS: readonly Step[] = [
  { protocol: 'tcp', port: 7000 },
  { protocol: 'udp', port: 8000 },
];

test('knock() sends each packet after the one before, and pauses after each, the last too', async () => {
  const { log, network, clock } = recorder();
  const report = await knock(plan({ steps: STEPS }), network, clock);
  assert.deepEqual(log, ['> 7000/tcp', '< 7000/tcp', 'pause 20', '> 8000/udp', '< 8000/udp', 'pause 20']);
  assert.equal(report.elapsed, 42);
});

test('knock() does not pause with a delay of 0', async () => {
  const { log, network, clock } = recorder();
  await knock(plan({ steps: STEPS, delay: 0 }), network, clock);
  assert.deepEqual(log, ['> 7000/tcp', '< 7000/tcp', '> 8000/udp', '< 8000/udp']);
});

test('knock() announces a step before its packet leaves', async () => {
  const { log, network, clock } = recorder();
  await knock(plan({ delay: 0 }), network, clock, (step) => log.push(`announce ${step.port}`));
  assert.deepEqual(log, ['announce 7000', '> 7000/tcp', '< 7000/tcp']);
});

test('knock() stops at the first packet that can not be sent, whatever is left to repeat', async () => {
  const { log, network, clock } = recorder(3);
  const report = await knock(plan({ steps: STEPS, delay: 0, repeat: 5 }), network, clock);
  assert.equal(log.at(-1), '> 7000/tcp');
  assert.deepEqual(
    report.hits.map((hit) => [hit.round, hit.step.port, hit.error?.message]),
    [
      [1, 7000, undefined],
      [1, 8000, undefined],
      [2, 7000, 'no route'],
    ],
  );
});

test('knock() keeps the order of any sequence, as often as it is repeated', async () => {
  const step = fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    port: fc.integer({ min: 1, max: 65535 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 32 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, repeat) => {
        const { log, network, clock } = recorder();
        const report = await knock(plan({ steps, repeat }), network, clock);
        const once = steps.map(({ port, protocol }) => `> ${port}/${protocol}`);
        assert.deepEqual(
          log.filter((line) => line.startsWith('>')),
          new Array(repeat).fill(once).flat(),
        );
        assert.equal(report.hits.length, steps.length * repeat);
        assert.ok(report.hits.every((hit) => !hit.error));
      },
    ),
  );
});
