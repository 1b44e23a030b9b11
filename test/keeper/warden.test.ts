/** The warden's decisions that need no packets; the rest is in test/e2e/posternd*.test.ts. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { Refusal } from '../../src/control/controlled.ts';
import type { HistoryEvent } from '../../src/core/history.ts';
import { type FirewallDriver, FirewallError, type Guard } from '../../src/firewall/driver.ts';
import { startCaged } from '../../src/keeper/caged-start.ts';
import { Warden } from '../../src/keeper/warden.ts';
import { refuseSpending } from '../../src/store/spent-store.ts';
import { openMemoryState } from '../../src/store/state.ts';
import { manualPorts, RETENTION } from '../support/state-ports.ts';

function configOf(text: string) {
  const result = parsePosternToml(new TextEncoder().encode(text), { file: 'postern.toml', directory: '/etc/postern' });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

const SSH = '[door.ssh]\nprotect = ["tcp/22"]\nopen_for = "1h"\n';
const WEB = '[door.web]\nprotect = ["tcp/80"]\n';

function scene() {
  const installed: Guard[] = [];
  let refusal: string | undefined;
  let next = SSH;
  const answer = async (): Promise<void> => {
    if (refusal !== undefined) throw new FirewallError(refusal);
  };
  const driver: FirewallDriver = {
    name: 'fake',
    expires: true,
    install: async (guard) => {
      await answer();
      installed.push(guard);
      return false;
    },
    open: answer,
    close: answer,
    ban: answer,
    unban: answer,
    allow: answer,
    disallow: answer,
    list: async () => ({ grants: [], bans: [], allowed: [] }),
    remove: answer,
    watch: () => ({ close: () => {} }),
    stop: answer,
  };
  const said: HistoryEvent[] = [];
  const loaded: string[][] = [];
  const warden = new Warden(
    {
      driver,
      state: openMemoryState(refuseSpending('not here'), manualPorts(), RETENTION),
      version: '1.2.3',
      say: (event) => void said.push(event),
      whisper: () => {},
      load: () => {
        if (next === '') throw new Refusal('postern.toml:1: It is broken');
        return { config: configOf(next), warnings: ['postern.toml:2: A doubt'] };
      },
      loaded: ({ doors }) => void loaded.push(doors.map(({ name }) => name)),
      face: async ({ doors }) => {
        // The first asks longer than the second.
        for (let round = 0; round < 20 / doors.length; round += 1) await Promise.resolve();
        return { face: 'drop' };
      },
      trial: () => undefined,
      warnings: async () => ['the host is strange'],
      startCaged,
      over: () => {},
    },
    configOf(SSH),
  );
  return {
    warden,
    installed,
    said,
    loaded,
    refuse: (why: string | undefined) => {
      refusal = why;
    },
    write: (text: string) => {
      next = text;
    },
  };
}

const refusal = (message: RegExp) => (error: Error) => error instanceof Refusal && message.test(error.message);

test('a door that never was is a slip in `log`; one with a past is not', async () => {
  const { warden } = scene();
  await assert.rejects(warden.log({ door: 'nosuch' }), refusal(/^There is no door "nosuch": there is ssh$/));
  assert.deepEqual(await warden.log({ door: 'ssh' }), []);
  assert.deepEqual(await warden.log({}), []);
});

test('a network is shown as one, and who closed is recorded', async () => {
  const { warden, said } = scene();
  await warden.reload();
  const grant = await warden.open('ssh', '2001:db8::7', 30_000, 'alice');
  assert.deepEqual([grant.source, grant.prefix, grant.user], ['2001:db8::', 64, 'alice']);
  assert.equal((await warden.open('ssh', '192.0.2.7', 30_000, 'alice')).prefix, undefined);
  await warden.close('ssh', '192.0.2.7', 'bob');
  const { type, user, reason } = said.at(-1)!;
  assert.deepEqual([type, user, reason], ['closed', 'bob', 'by hand']);
  await warden.close('ssh', undefined, 'carol');
  assert.deepEqual([said.at(-1)?.type, said.at(-1)?.user], ['closed', 'carol']);
});

describe('reload', () => {
  test('puts guard, doors and settings in force, in this order, and hands warnings on', async () => {
    const { warden, installed, loaded, said, write } = scene();
    write(SSH + WEB);
    assert.deepEqual(await warden.reload(), { doors: 2, warnings: ['postern.toml:2: A doubt'] });
    assert.deepEqual(
      installed.map(({ doors }) => doors.map(({ name }) => name)),
      [['ssh', 'web']],
    );
    assert.deepEqual(loaded, [['ssh', 'web']]);
    assert.deepEqual(said, [{ type: 'reloaded', detail: '2 doors' }]);
    assert.equal((await warden.show('web')).name, 'web');
  });

  test('of a broken file changes nothing', async () => {
    const { warden, installed, loaded, said, write } = scene();
    write('');
    await assert.rejects(warden.reload(), refusal(/^postern\.toml:1: It is broken$/));
    assert.deepEqual([installed, loaded, said], [[], [], []]);
    write(WEB);
    assert.equal((await warden.reload()).doors, 1);
  });

  test('that the firewall refuses leaves the old configuration in force', async () => {
    const { warden, refuse, write, loaded } = scene();
    write(WEB);
    refuse('out of memory');
    await assert.rejects(warden.reload(), refusal(/the old one is in force: out of memory$/));
    assert.deepEqual(loaded, []);
    await assert.rejects(warden.show('web'), refusal(/There is no door "web": there is ssh$/));
  });

  test('at the same time twice: the second file is in force at the end', async () => {
    const { warden, installed, loaded, write } = scene();
    const first = warden.reload();
    await Promise.resolve();
    write(SSH + WEB);
    await Promise.all([first, warden.reload()]);
    assert.deepEqual(loaded.at(-1), ['ssh', 'web']);
    assert.equal(installed.at(-1)?.doors.length, 2);
  });

  test('says what only a new start puts in force, each time', async () => {
    const { warden, write, installed } = scene();
    write(`${SSH}[state]\ndir = "/elsewhere"\n`);
    for (const _ of [1, 2]) {
      assert.equal(
        (await warden.reload()).warnings[1],
        'takes effect with the next start: dir in [state], socket in [control]',
      );
    }
    write(`${SSH}[firewall]\nipv6_prefix = 128\n`);
    assert.equal((await warden.reload()).warnings.length, 2);
    assert.equal(installed.at(-1)?.ipv6Prefix, 64);
    write(SSH);
    assert.equal((await warden.reload()).warnings.length, 1);
  });
});

describe('what people ask', () => {
  test('of doors and sources that there are not is refused in words', async () => {
    const { warden } = scene();
    for (const asked of [warden.show('x'), warden.open('x', '192.0.2.1', undefined), warden.close('x', undefined)]) {
      await assert.rejects(asked, refusal(/^There is no door "x": there is ssh$/));
    }
  });

  test('of no such door names all there are, as doc/control.md shows it', async () => {
    const { warden, write } = scene();
    write(SSH + WEB);
    await warden.reload();
    await assert.rejects(
      warden.open('shh', '192.0.2.7', undefined),
      refusal(/^There is no door "shh": there are ssh, web$/),
    );
  });

  test('of the status has what is doubtful about the host', async () => {
    const { warden } = scene();
    assert.deepEqual((await warden.status()).warnings, ['the host is strange']);
  });

  test('of a firewall that refuses is refused with its reason, and changes nothing', async () => {
    const { warden, refuse } = scene();
    await warden.reload();
    refuse('the kernel is full');
    await assert.rejects(
      warden.open('ssh', '192.0.2.1', undefined),
      refusal(/Cannot open "ssh" .*the kernel is full$/),
    );
    refuse(undefined);
    const grant = await warden.open('ssh', '192.0.2.1', 1000);
    assert.equal(grant.source, '192.0.2.1');
    refuse('the kernel is full');
    await assert.rejects(warden.close('ssh', '192.0.2.1'), refusal(/^the kernel is full$/));
    const { doors } = await warden.status();
    assert.equal(doors[0]?.grants.length, 1);
    refuse(undefined);
    assert.equal(await warden.close('ssh', undefined), 1);
    const { doors: after } = await warden.status();
    assert.deepEqual(after[0]?.grants, []);
  });

  test('of a source that is banned by hand opens nothing until the ban is ended', async () => {
    const { warden } = scene();
    await warden.reload();
    await warden.ban('198.51.100.7', undefined);
    await assert.rejects(
      warden.open('ssh', '198.51.100.7', 1000),
      refusal(/^Cannot open "ssh" for 198\.51\.100\.7: it is banned \(postern unban ends that\)$/),
    );
    await warden.unban('198.51.100.7');
    assert.equal((await warden.open('ssh', '198.51.100.7', 1000)).source, '198.51.100.7');
    await assert.rejects(warden.ban('198.51.100.7', undefined), refusal(/a door is open for it/));
  });

  test('is told live to whoever follows, until they do not', async () => {
    const { warden } = scene();
    await warden.reload();
    const heard: string[] = [];
    const stop = warden.follow((event) => void heard.push(event.kind === 'history' ? event.entry.type : event.kind));
    await warden.open('ssh', '192.0.2.1', 1000);
    stop();
    await warden.close('ssh', undefined);
    assert.deepEqual(heard, ['opened']);
    const types = (await warden.log({})).map(({ type }) => type);
    assert.deepEqual(types, ['reloaded', 'opened', 'closed']);
  });
});
