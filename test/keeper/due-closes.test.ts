import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAddress, printAddress } from '../../src/core/address.ts';
import type { HistoryEvent } from '../../src/core/history.ts';
import type { FirewallDriver, Grant } from '../../src/firewall/driver.ts';
import { DueCloses } from '../../src/keeper/due-closes.ts';
import { Grants } from '../../src/keeper/grants.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { CLOSES, type CloseRow, GRANTS, type GrantRow } from '../../src/store/rows.ts';
import { doorPolicy } from '../support/firewall-contract.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ALICE = parseAddress('192.0.2.7')!;

/** A firewall in a test's mind: what is open, and what it was told. */
function fakeDriver(name: string, expires: boolean) {
  const open = new Map<string, Grant>();
  const told: string[] = [];
  const state = { refuses: false };
  const act = async (what: string): Promise<void> => {
    if (state.refuses) throw new Error('busy');
    told.push(what);
  };
  const driver: FirewallDriver = {
    name,
    expires,
    install: async () => false,
    open: async (grant) => {
      await act(`open ${grant.door}`);
      open.set(`${grant.door} ${printAddress(grant.source)}`, { ...grant, remaining: Number.POSITIVE_INFINITY });
    },
    close: async (door, source) => {
      await act(`close ${door}`);
      open.delete(`${door} ${printAddress(source)}`);
    },
    ban: async () => {},
    unban: async () => {},
    allow: async () => {},
    disallow: async () => {},
    list: async () => ({ grants: [...open.values()], bans: [], allowed: [] }),
    remove: async () => {
      await act('remove');
      open.clear();
    },
    watch: () => ({ close: () => {} }),
    stop: async () => {},
  };
  return { driver, open, told, state };
}

function keeper(
  firewall = fakeDriver('pf', false),
  closes: readonly CloseRow[] = [],
  grants: readonly GrantRow[] = [],
) {
  const clock = new ManualClock();
  const rows = { grants: openMemoryRows(GRANTS, grants), closes: openMemoryRows(CLOSES, closes) };
  const events: HistoryEvent[] = [];
  const other = fakeDriver('ipfw', false);
  const record = (event: HistoryEvent): void => void events.push(event);
  const { driver } = firewall;
  const due = new DueCloses({ driver, rows: rows.closes, another: () => other.driver, record, wallNow: clock.wallNow });
  const held = new Grants(
    { driver, rows: rows.grants, closes: due, record, hook: () => {}, ...clock, after: clock.after },
    () => 64,
  );
  held.configure([doorPolicy('ssh', ['tcp/22'])]);
  return { clock, rows, events, other, grants: held, firewall };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const NOW = new ManualClock().wall;
const closeRow = (door: string, due: number, driver = 'pf'): CloseRow => ({
  door,
  source: '192.0.2.7',
  driver,
  due,
  longest: 30_000,
});

describe('doors that the kernel does not close', () => {
  test('the close is written before the door opens, and gone when it was carried out', async () => {
    const { grants, rows, clock, firewall } = keeper();
    await grants.open('ssh', ALICE, { via: 'knock' });
    assert.deepEqual(rows.closes.all(), [{ ...closeRow('ssh', NOW + 30_000) }]);
    clock.advance(30_000);
    await settled();
    assert.deepEqual([rows.closes.all(), firewall.told, firewall.open.size], [[], ['open ssh', 'close ssh'], 0]);
  });

  test('a renewal moves the close, and a refused opening leaves none behind', async () => {
    const { grants, rows, clock, firewall } = keeper();
    firewall.state.refuses = true;
    await grants.open('ssh', ALICE, { via: 'knock' });
    assert.deepEqual(rows.closes.all(), []);
    firewall.state.refuses = false;
    await grants.open('ssh', ALICE, { via: 'knock' });
    clock.advance(10_000);
    await grants.open('ssh', ALICE, { via: 'knock' });
    assert.equal(rows.closes.all()[0]?.due, NOW + 40_000);
    firewall.state.refuses = true;
    clock.advance(10_000);
    await grants.open('ssh', ALICE, { via: 'knock' });
    assert.equal(rows.closes.all()[0]?.due, NOW + 40_000);
  });

  test('a close that fails is tried again, and stays written until it is done', async () => {
    const { grants, rows, clock, firewall, events } = keeper();
    await grants.open('ssh', ALICE, { via: 'knock' });
    firewall.state.refuses = true;
    clock.advance(30_000);
    await settled();
    assert.equal(rows.closes.all().length, 1);
    assert.equal(events.at(-1)?.type, 'warned');
    firewall.state.refuses = false;
    clock.advance(5000);
    await settled();
    assert.deepEqual([rows.closes.all(), firewall.open.size], [[], 0]);
  });

  test('at start, what is overdue is closed at once, although its door is gone', async () => {
    const firewall = fakeDriver('pf', false);
    const rows = [closeRow('gone', NOW - 1), closeRow('ssh', NOW - 1)];
    const { grants, rows: kept } = keeper(firewall, rows);
    await firewall.driver.open({ door: 'ssh', source: ALICE, remaining: 1, comment: '' });
    await grants.reconcile();
    assert.deepEqual(firewall.told.slice(1), ['close gone', 'close ssh']);
    assert.deepEqual([kept.closes.all(), firewall.open.size], [[], 0]);
  });

  test('at start, what is not due yet and stands is closed at its time, with or without a grant written', async () => {
    const firewall = fakeDriver('pf', false);
    const { grants, rows, clock } = keeper(firewall, [closeRow('ssh', NOW + 5000)]);
    await firewall.driver.open({ door: 'ssh', source: ALICE, remaining: 1, comment: '' });
    await grants.reconcile();
    assert.equal(grants.live().length, 1);
    clock.advance(5000);
    await settled();
    assert.deepEqual([rows.closes.all(), firewall.open.size], [[], 0]);
  });

  test('a clock that was set back does not keep a door open longer than its own time', async () => {
    const firewall = fakeDriver('pf', false);
    const { grants, clock } = keeper(firewall, [closeRow('ssh', NOW + 86_400_000)]);
    await firewall.driver.open({ door: 'ssh', source: ALICE, remaining: 1, comment: '' });
    await grants.reconcile();
    clock.advance(30_000);
    await settled();
    assert.equal(firewall.open.size, 0);
  });

  test('what another driver opened goes with its guard; what fails is told and stays written', async () => {
    const { grants, rows, other, firewall, events } = keeper(fakeDriver('pf', false), [
      closeRow('ssh', NOW + 5000, 'ipfw'),
    ]);
    other.state.refuses = true;
    await grants.reconcile();
    assert.deepEqual([rows.closes.all().length, events.at(-1)?.type], [1, 'warned']);
    other.state.refuses = false;
    await grants.reconcile();
    assert.deepEqual([rows.closes.all(), other.told, firewall.told], [[], ['remove'], []]);
  });

  test('nothing is written where the kernel ends grants', async () => {
    const { grants, rows } = keeper(fakeDriver('nftables', true));
    await grants.open('ssh', ALICE, { via: 'knock' });
    assert.deepEqual([rows.grants.all().length, rows.closes.all()], [1, []]);
  });
});
