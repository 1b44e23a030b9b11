import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Address, parseAddress } from '../../src/core/address.ts';
import { junkLine, Pit, type PitLimits } from '../../src/core/pit.ts';

const LIMITS: PitLimits = { connections: 4, perSource: 2, every: 10, duration: 100, ipv6Prefix: 64 };

function from(text: string): Address {
  const address = parseAddress(text);
  assert.ok(address, text);
  return address;
}

const A = from('192.0.2.1');
const B = from('192.0.2.2');

describe('Pit', () => {
  test('gives each connection its turn after the same pause, again and again', () => {
    const pit = new Pit(LIMITS);
    assert.equal(pit.nextDeadline(), undefined);
    assert.ok(pit.take(7, A, 0));
    assert.ok(pit.take(8, B, 4));
    assert.equal(pit.nextDeadline(), 10);
    assert.deepEqual(pit.due(9), []);
    assert.deepEqual(pit.due(10), [{ descriptor: 7, over: false }]);
    assert.equal(pit.nextDeadline(), 14);
    assert.deepEqual(pit.due(20), [
      { descriptor: 8, over: false },
      { descriptor: 7, over: false },
    ]);
    assert.equal(pit.nextDeadline(), 30);
  });

  test('ends a connection before its time would be over', () => {
    const pit = new Pit(LIMITS);
    pit.take(7, A, 0);
    for (let now = 10; now < 100; now += 10) assert.deepEqual(pit.due(now), [{ descriptor: 7, over: false }], `${now}`);
    assert.deepEqual(pit.due(100), [{ descriptor: 7, over: true }]);
    assert.deepEqual([pit.nextDeadline(), pit.counts.held], [undefined, 0]);
  });

  test('turns away whose source has enough, and takes him again when one of his has gone', () => {
    const pit = new Pit(LIMITS);
    assert.deepEqual(
      [1, 2, 3].map((descriptor) => pit.take(descriptor, A, 0)),
      [true, true, false],
    );
    assert.ok(pit.take(4, B, 0));
    pit.forget(1);
    assert.ok(pit.take(5, A, 0));
    assert.deepEqual(pit.counts, { held: 3, total: 4, turnedAway: 1 });
  });

  test('counts IPv6 sources by their network, IPv4 sources by themselves', () => {
    const pit = new Pit({ ...LIMITS, perSource: 1 });
    assert.deepEqual(
      ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1', '192.0.2.1', '192.0.2.2'].map((source, descriptor) =>
        pit.take(descriptor, from(source), 0),
      ),
      [true, false, true, true, true],
    );
  });

  test('is full with as many as it may have, and forgets what it never had', () => {
    const pit = new Pit({ ...LIMITS, perSource: 4 });
    for (const descriptor of [1, 2, 3, 4]) assert.equal(pit.take(descriptor, A, 0) && pit.full, descriptor === 4);
    assert.equal(pit.take(5, B, 0), false);
    pit.forget(99);
    assert.ok(pit.full);
    pit.forget(2);
    pit.forget(2);
    assert.deepEqual([pit.full, pit.counts.held], [false, 3]);
  });

  test('is never above its limits, and asks nobody too early, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ take: fc.integer({ min: 0, max: 5 }) }),
      fc.record({ forget: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ wait: fc.integer({ min: 0, max: 25 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const pit = new Pit(LIMITS);
        /** By descriptor: whose, since when, and when it was last its turn. */
        const held = new Map<number, { source: number; since: number; last: number }>();
        let now = 0;
        let next = 0;
        for (const each of steps) {
          if ('take' in each) {
            const mine = [...held.values()].filter(({ source }) => source === each.take).length;
            const taken = pit.take(next, from(`192.0.2.${each.take}`), now);
            assert.equal(taken, held.size < LIMITS.connections && mine < LIMITS.perSource);
            if (taken) held.set(next++, { source: each.take, since: now, last: now });
          } else if ('forget' in each) {
            pit.forget(each.forget);
            held.delete(each.forget);
          } else {
            now += each.wait;
            const due = pit.due(now);
            const expected = [...held].filter(([, { last }]) => last + LIMITS.every <= now).map(([key]) => key);
            assert.deepEqual(due.map(({ descriptor }) => descriptor).sort(), expected.sort());
            for (const { descriptor, over } of due) {
              const { since } = held.get(descriptor)!;
              assert.equal(over, now + LIMITS.every > since + LIMITS.duration);
              if (over) held.delete(descriptor);
              else held.get(descriptor)!.last = now;
            }
          }
          assert.equal(pit.counts.held, held.size);
          const deadlines = [...held.values()].map(({ last }) => last + LIMITS.every);
          assert.equal(pit.nextDeadline(), deadlines.length === 0 ? undefined : Math.min(...deadlines));
        }
      }),
    );
  });
});

test('A line of junk is short, ends with CR LF, and never begins as an SSH server does', () => {
  const part = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.infiniteStream(part), (numbers) => {
      const line = Buffer.from(junkLine(() => numbers.next().value)).toString('latin1');
      assert.match(line, /^[a-z0-9]{3,32}\r\n$/);
    }),
  );
  assert.deepEqual(Buffer.from(junkLine(() => 0)).toString('latin1'), 'aaa\r\n');
});
