import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeZygoteOrder,
  decodeZygoteReport,
  encodeZygoteMessage,
  type ZygoteOrder,
  type ZygoteReport,
} from '../../src/core/zygote-messages.ts';

const START: ZygoteOrder = {
  type: 'start',
  number: 1,
  program: 'watcher',
  account: { uid: 999, gid: 998 },
  args: ['ring', '4'],
};

const positive = fc.integer({ min: 1, max: 2 ** 31 });
const orders: fc.Arbitrary<ZygoteOrder> = fc.oneof(
  positive.map((number) => ({ type: 'kill' as const, number })),
  fc
    .tuple(positive, fc.constantFrom('watcher' as const, 'tarpit' as const), positive, positive, fc.array(fc.string()))
    .map(([number, program, uid, gid, args]) => ({
      type: 'start' as const,
      number,
      program,
      account: { uid, gid },
      args,
    })),
);

test('orders and reports arrive as they were sent', () => {
  fc.assert(
    fc.property(orders, (order) =>
      assert.equal(encodeZygoteMessage(decodeZygoteOrder(encodeZygoteMessage(order))), encodeZygoteMessage(order)),
    ),
  );
  const reports: readonly ZygoteReport[] = [
    { type: 'ready' },
    { type: 'started', number: 3, pid: 4 },
    { type: 'ended', number: 3, ending: { signal: 'SIGKILL' } },
    { type: 'ended', number: 4, ending: { status: 1 } },
    { type: 'ended', number: 5, ending: { failed: 'spawn ENOMEM' } },
  ];
  for (const report of reports) assert.deepEqual(decodeZygoteReport(encodeZygoteMessage(report)), report);
});

test('a captured keeper cannot have root from it, nor another program', () => {
  const refused: readonly object[] = [
    { ...START, account: { uid: 0, gid: 998 } },
    { ...START, account: { uid: 999, gid: 0 } },
    { ...START, account: { uid: -1, gid: 998 } },
    { ...START, account: { uid: '0', gid: 998 } },
    { ...START, account: { uid: 0.5, gid: 998 } },
    { ...START, account: null },
    { ...START, program: 'keeper' },
    { ...START, program: '../cli/posternd' },
    { ...START, args: [['ring']] },
    { ...START, args: 'ring' },
    { ...START, number: 0 },
    { ...START, type: 'stop' },
    { type: 'kill' },
    [],
  ];
  for (const order of refused) {
    assert.throws(() => decodeZygoteOrder(JSON.stringify(order)), /Not an order/, JSON.stringify(order));
  }
  assert.throws(() => decodeZygoteOrder('null'), /Not an order/);
  assert.throws(() => decodeZygoteOrder('{'), SyntaxError);
  assert.throws(() => decodeZygoteReport('{"type":"obeyed"}'), /Not a report/);
});
