import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HistoryEvent } from '../../src/core/history.ts';
import type { DoorPolicy, Hooks as HookPrograms } from '../../src/core/policy.ts';
import type { LiveGrant } from '../../src/keeper/grants.ts';
import { Hooks } from '../../src/keeper/hooks.ts';
import type { runHook } from '../../src/platform/process.ts';
import { address } from '../support/knocks.ts';

type Ran = Awaited<ReturnType<typeof runHook>>;

const WELL: Ran = { ending: { status: 0 }, output: '', late: false };

function doorOf(hooks: Partial<HookPrograms> = {}): DoorPolicy {
  return {
    name: 'ssh',
    protect: [],
    openFor: 1000,
    renew: true,
    close: 'keep',
    allow: [],
    deny: [],
    hooks: { onOpen: ['/bin/open', 'it'], onClose: ['/bin/close'], timeLimit: 3000, ...hooks },
  };
}

function grantOf(source: string, about: { readonly user?: string; readonly knocker?: string } = {}): LiveGrant {
  const { user, knocker } = about;
  return {
    door: 'ssh',
    source: address(source),
    via: 'knock',
    until: 0,
    ...(user !== undefined && { user }),
    ...(knocker !== undefined && { knocker: address(knocker) }),
  };
}

function scene() {
  const told: HistoryEvent[] = [];
  const started: {
    argv: readonly string[];
    env: Readonly<Record<string, string>>;
    end: (ran?: Ran) => Promise<void>;
  }[] = [];
  const hooks = new Hooks(
    (event) => void told.push(event),
    () => 64,
    (argv, env, limits) => {
      assert.deepEqual(limits, { timeout: 3000, limit: 2048 });
      const { promise, resolve } = Promise.withResolvers<Ran>();
      const end = async (ran: Ran = WELL): Promise<void> => {
        resolve(ran);
        for (let round = 0; round < 10; round += 1) await Promise.resolve();
      };
      started.push({ argv, env, end });
      return promise;
    },
  );
  return { hooks, told, started };
}

describe('a hook', () => {
  test('is an argv without a shell that finds the facts in its environment', () => {
    const { hooks, started } = scene();
    hooks.run(doorOf(), 'open', grantOf('192.0.2.1', { user: 'alice' }));
    hooks.run(doorOf(), 'close', grantOf('2001:db8::', { knocker: '2001:db8::7' }));
    hooks.run({ ...doorOf(), name: 'other' }, 'close', grantOf('2001:db8::'));
    assert.deepEqual(
      started.slice(0, 2).map(({ argv, env }) => [argv, env]),
      [
        [
          ['/bin/open', 'it'],
          {
            POSTERN_EVENT: 'open',
            POSTERN_DOOR: 'ssh',
            POSTERN_SOURCE: '192.0.2.1',
            POSTERN_NETWORK: '192.0.2.1',
            POSTERN_VIA: 'knock',
            POSTERN_USER: 'alice',
          },
        ],
        [
          ['/bin/close'],
          {
            POSTERN_EVENT: 'close',
            POSTERN_DOOR: 'ssh',
            POSTERN_SOURCE: '2001:db8::7',
            POSTERN_NETWORK: '2001:db8::/64',
            POSTERN_USER: '',
            POSTERN_VIA: 'knock',
          },
        ],
      ],
    );
    assert.equal(started[2]?.env.POSTERN_SOURCE, '2001:db8::', 'an opener that is not known');
  });

  test('that a door has not is not run', () => {
    const { hooks, started } = scene();
    const { onOpen, onClose, ...none } = doorOf().hooks;
    hooks.run({ ...doorOf(), hooks: none }, 'open', grantOf('192.0.2.1'));
    assert.deepEqual([onOpen?.length, onClose?.length, started], [2, 1, []]);
  });

  test('is recorded with what it said and how it ended, unless all is well and silent', async () => {
    const endings: readonly (readonly [Ran, string | undefined])[] = [
      [WELL, undefined],
      [{ ...WELL, output: ' fine\n' }, 'fine'],
      [{ ...WELL, ending: { status: 3 } }, 'ended with status 3'],
      [{ ...WELL, ending: { signal: 'SIGSEGV' }, output: 'oops' }, 'ended by SIGSEGV: oops'],
      [{ ...WELL, ending: { failed: 'ENOENT' } }, 'could not be started: ENOENT'],
      [{ ending: { signal: 'SIGKILL' }, output: 'slow', late: true }, 'killed after 3000 ms: slow'],
    ];
    for (const [ran, detail] of endings) {
      const { hooks, started, told } = scene();
      hooks.run(doorOf(), 'open', grantOf('192.0.2.1'));
      await started[0]!.end(ran);
      const about = { type: 'hooked', door: 'ssh', source: '192.0.2.1', reason: 'on_open', detail };
      assert.deepEqual(told, detail === undefined ? [] : [about]);
    }
  });

  test('that cannot even be tried is recorded, and keeps nobody from the next', async () => {
    const told: HistoryEvent[] = [];
    const hooks = new Hooks(
      (event) => void told.push(event),
      () => 64,
      () => Promise.reject(new Error('no more processes')),
    );
    hooks.run(doorOf(), 'open', grantOf('192.0.2.1'));
    hooks.run(doorOf(), 'close', grantOf('192.0.2.1'));
    for (let round = 0; round < 20; round += 1) await Promise.resolve();
    assert.deepEqual(
      told.map(({ reason, detail }) => [reason, detail]),
      ['on_open', 'on_close'].map((reason) => [reason, 'could not be started: no more processes']),
    );
  });
});

describe('hooks', () => {
  test('of one door for one source run one after another, those of others beside them', async () => {
    const { hooks, started } = scene();
    hooks.run(doorOf(), 'open', grantOf('192.0.2.1'));
    hooks.run(doorOf(), 'close', grantOf('192.0.2.1'));
    hooks.run(doorOf(), 'open', grantOf('192.0.2.1'));
    hooks.run(doorOf(), 'open', grantOf('192.0.2.2'));
    const seen = (): string[] => started.map(({ env }) => `${env.POSTERN_EVENT} ${env.POSTERN_SOURCE}`);
    assert.deepEqual(seen(), ['open 192.0.2.1', 'open 192.0.2.2']);
    await started[0]!.end();
    assert.deepEqual(seen().slice(2), ['close 192.0.2.1']);
    await started[2]!.end();
    assert.deepEqual(seen().slice(3), ['open 192.0.2.1']);
  });

  test('are bounded: so many run, so many wait, the rest is recorded', async () => {
    const { hooks, started, told } = scene();
    for (let source = 0; source < 1100; source += 1) {
      hooks.run(doorOf(), 'open', grantOf(`10.0.${source >> 8}.${source & 255}`));
    }
    assert.deepEqual([started.length, told.length], [32, 1100 - 32 - 1024]);
    assert.equal(told[0]?.detail, 'it was not run: too many hooks are waiting');
    for (let ended = 0; ended < started.length; ended += 1) await started[ended]!.end();
    assert.equal(started.length, 32 + 1024);
  });
});
