import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import type { Surroundings } from '../../src/config/surroundings-lint.ts';

/** `line: message` of every problem; all of them have to be warnings. */
function lint(text: string, surroundings: Surroundings = {}): string[] {
  const result = parsePosternToml(text, { file: 'p.toml', surroundings });
  assert.ok(result.ok, JSON.stringify(result.problems));
  return result.problems.map(({ line, message, hint }) => {
    assert.notEqual(hint, '');
    return `${line}: ${message}`;
  });
}

const STEPS = '"tcp/7000", "udp/8000", "tcp/6000"';

/** A door of four lines; its steps are on the fourth. */
const door = (name: string, steps = STEPS, more = '', protect = `"tcp/${name.length}0"`): string =>
  `[door.${name}]\nprotect = [${protect}]\n[door.${name}.knock]\nsteps = [${steps}]\n${more}`;

describe('parsePosternToml() warns of', () => {
  test('nothing in a good file', () => {
    const surroundings: Surroundings = {
      listening: [{ protocol: 'tcp', port: 22 }],
      localPorts: { first: 32768, last: 60999, reserved: [] },
    };
    assert.deepEqual(lint(door('ssh', STEPS, '', '"tcp/22"'), surroundings), []);
  });

  test('sequences that a scan opens', () => {
    assert.deepEqual(lint(door('a', '"tcp/7000"')), ['4: A sequence of a single port is opened by every port scan']);
    assert.deepEqual(lint(door('a', '"tcp/7000", "tcp/7001"')), [
      '4: A port scan opens this sequence: its ports follow each other without a gap',
    ]);
    assert.deepEqual(lint(door('a', '"udp/7000", "udp/9000", "udp/8000"')), [
      '4: The sequence is UDP alone: its source can be forged, and a scan of UDP ports in random order may open it',
    ]);
    for (const steps of ['"udp/7000", "udp/8000", "udp/9000"', '"udp/9000", "udp/8000"']) {
      assert.deepEqual(lint(door('a', steps)), [
        '4: A scan of UDP ports in counting order opens this sequence: its steps are UDP alone, and in that order',
      ]);
    }
  });

  test('flags that let packets knock which make no strays', () => {
    const warned = lint(door('a', STEPS, 'flags = []\n'));
    assert.equal(warned.length, 1);
    assert.match(warned[0]!, /^5: The flags let more knock than a plain SYN: .* may open this door$/);
    assert.equal(lint(door('a', STEPS, 'flags = ["fin"]\n')).length, 1);
    assert.equal(lint(door('a', STEPS, 'flags = ["syn"]\n')).length, 1);
    assert.deepEqual(lint(door('a', STEPS, 'flags = ["syn", "!ack", "!rst", "!fin", "!urg"]\n')), []);
    assert.doesNotMatch(lint(door('a', '"udp/7000", "udp/9000"', 'flags = ["fin"]\n')).join(), /plain SYN/);
  });

  test('counting sequences that allow fewer strays than are asked for', () => {
    const steps = '"tcp/7000", "tcp/7001", "tcp/7003"';
    assert.deepEqual(lint(door('a', steps)), [
      '4: The sequence counts with few ports between its steps: it is held to 0 strays in place of 2',
    ]);
    assert.deepEqual(lint(door('a', steps, 'strays = 0\n')), []);
    assert.deepEqual(lint(door('a', '"tcp/7000", "tcp/8000", "tcp/9000"')), []);
  });

  test('any counting sequence of the kernel engine, which counts no strays', () => {
    const text = door('a', '"tcp/7000", "tcp/8000", "tcp/9000"').replace('protect', 'engine = "kernel"\nprotect');
    const says = (file: string): boolean =>
      parsePosternToml(file, { file: 'p.toml' }).problems.some(
        ({ line, message }) =>
          line === 5 &&
          message === 'A scan that counts through the ports knocks this sequence: the kernel engine counts no strays',
      );
    assert.deepEqual([says(text), says(text.replace('9000', '7500'))], [true, false]);
  });

  test('two equal steps in a row', () => {
    assert.deepEqual(lint(door('a', '"tcp/9", "tcp/9", "udp/8"')), [
      '4: The step "tcp/9" is there twice in a row: a packet that the network doubles looks like both',
    ]);
    assert.deepEqual(lint(door('a', '"tcp/9", "udp/9", "tcp/8"')), []);
  });

  test('steps on ports that are protected, listened on or public', () => {
    const text = `${door('a', '"tcp/3", "udp/5",\n"tcp/20"')}[door.bb]\nprotect = ["tcp/20-21"]\n`;
    assert.deepEqual(lint(text), [
      '5: The step "tcp/20" is a port that the door "bb" protects: who tries that port knocks',
    ]);
    assert.deepEqual(
      lint(door('a'), {
        listening: [
          { protocol: 'tcp', port: 6000 },
          { protocol: 'tcp', port: 8000 },
        ],
      }),
      ['4: The step "tcp/6000" is a port that somebody listens on: everybody who connects knocks'],
    );
    assert.deepEqual(lint(`[public]\nports = ["udp/7990-8010"]\n${door('a')}`), [
      '6: The step "udp/8000" is a public port: everybody who connects knocks',
    ]);
  });

  test('traps that honest clients touch', () => {
    const steps = '"tcp/6000", "udp/8000", "tcp/3000"';
    const trap = (ports: string): string => `trap = ["${ports}"]\n[public]\nports = ["tcp/80"]\n${door('a', steps)}`;
    const says = (ports: string, listening: readonly { protocol: 'tcp'; port: number }[] = []): string[] =>
      lint(trap(ports), { listening });
    assert.deepEqual(says('tcp/23'), []);
    assert.deepEqual(says('tcp/2990-3010'), ['1: The trap "tcp/3000" is a step of the door "a": it catches nobody']);
    assert.deepEqual(says('tcp/80'), ['1: The trap is a public port ("tcp/80"): everybody who connects is caught']);
    assert.deepEqual(says('tcp/25', [{ protocol: 'tcp', port: 25 }]), [
      '1: The trap "tcp/25" is a port that somebody listens on: everybody who connects is caught',
    ]);
  });

  test('UDP steps among the ports of our own traffic, unless reserved', () => {
    const steps = '"tcp/40000", "udp/40001", "tcp/39999"';
    const localPorts = { first: 32768, last: 60999, reserved: [] };
    assert.deepEqual(lint(door('a', steps), { localPorts }), [
      `4: The step "udp/40001" is among the ports of this host's own traffic (32768-60999): answers to it look like the step`,
    ]);
    assert.deepEqual(lint(door('a', steps), { localPorts: { ...localPorts, reserved: [40001] } }), []);
  });

  test('doors that one knock opens together', () => {
    assert.deepEqual(lint(door('a') + door('bb')), [
      '8: This door has the same sequence as door "a" of line 1: one knock opens both',
    ]);
    assert.deepEqual(lint(door('a') + door('bb', `${STEPS}, "tcp/5"`)), [
      '8: The sequence begins with the whole sequence of door "a" of line 1: every knock opens that door too',
    ]);
    assert.deepEqual(
      lint(door('a', STEPS, 'target = "192.0.2.1"\n') + door('bb', STEPS, 'target = "192.0.2.2"\n')),
      [],
    );
  });

  test('doors on one port', () => {
    const both = (one: string, other: string): string =>
      `[door.a]\nprotect = [${one}]\n[door.b]\nprotect = [${other}]\n`;
    const expected = (ports: string): string[] => [
      `4: The ports "${ports}" are behind the door "a" of line 1 too: either one opens them`,
    ];
    assert.deepEqual(lint(both('"tcp/80"', '"tcp/80"')), expected('tcp/80'));
    assert.deepEqual(lint(both('"tcp/80-90"', '"tcp/80"')), expected('tcp/80'));
    assert.deepEqual(lint(both('"tcp/80"', '"tcp/80-90"')), expected('tcp/80-90'));
    assert.deepEqual(lint(both('"tcp/80-90"', '"tcp/85-95"')), expected('tcp/85-95'));
    assert.deepEqual(lint(both('"tcp/80-90"', '"udp/85-95", "tcp/91"')), []);
  });

  test('ways to lock oneself out', () => {
    assert.deepEqual(lint('[door.ssh]\nprotect = ["tcp/20-30"]\n'), [
      '1: The door "ssh" closes tcp/22 and has no knock: nobody comes in from outside',
    ]);
    assert.deepEqual(lint('[door.web]\nprotect = ["tcp/80"]\n'), []);
    const sources = (text: string): string[] => lint(`[door.web]\nprotect = ["tcp/80"]\nsources = { ${text} }\n`);
    assert.deepEqual(sources('allow = ["10.1.0.0/16"], deny = ["10.0.0.0/8"]'), [
      '1: Nobody can open the door "web": deny covers all that allow lists',
    ]);
    assert.deepEqual(sources('deny = ["0.0.0.0/0", "::/0"]'), [
      '1: Nobody can open the door "web": deny covers every address',
    ]);
    assert.deepEqual(sources('allow = ["10.0.0.0/8"], deny = ["192.0.2.1"]'), [
      '3: The address "192.0.2.1" in deny is not allowed anyway',
    ]);
    assert.deepEqual(sources('allow = ["10.0.0.0/8"], deny = ["10.0.0.66"]'), []);
  });

  test('an address that may not knock, but is let in with its neighbours', () => {
    const denying = (list: string, more = ''): string => `${door('aa')}[door.aa.sources]\ndeny = [${list}]\n${more}`;
    assert.deepEqual(lint(denying('"2001:db8::7", "192.0.2.7"')), [
      '6: The address "2001:db8::7" in deny may not knock, but a neighbour\'s knock lets it in: a grant is for 2001:db8::/64',
    ]);
    assert.deepEqual(lint(denying('"2001:db8::7", "2001:db8::/48"')), []);
    assert.deepEqual(lint(denying('"2001:db8::7"', '[firewall]\nipv6_prefix = 128\n')), []);
  });

  test('bans where nobody is trusted', () => {
    const bans = '[ban]\nafter = 20\n';
    assert.deepEqual(lint(`${bans}${door('aa')}`), [
      '2: Sources are banned for their points, and none is trusted: forged packets in your name keep you out until you knock',
    ]);
    assert.deepEqual(lint(`allow = ["192.0.2.7"]\n${bans}${door('aa')}`), []);
    assert.deepEqual(lint(`[ban]\nfor = "1h"\n${door('aa')}`), []);
  });

  test('a knock that may take very long', () => {
    assert.deepEqual(lint(door('a', STEPS, 'within = "10m"\n')), [
      '5: A knock may take 10m: so long a wait helps whoever tries port after port',
    ]);
  });

  test('nothing, for many doors, in no more than their share of the time', () => {
    const file = (count: number): string =>
      Array.from({ length: count }, (_, i) =>
        door(`d${i}`, `"tcp/${(i % 60000) + 1}", "udp/${(i % 997) + 1}", "tcp/9"`, '', `"tcp/${i + 1}"`),
      ).join('');
    const time = (text: string): number => {
      const start = performance.now();
      parsePosternToml(text, { file: 'p' });
      return performance.now() - start;
    };
    const [small, large] = [file(500), file(4000)];
    time(small);
    const [one, many] = [Math.min(time(small), time(small), time(small)), Math.min(time(large), time(large))];
    assert.ok(many < one * 8 ** 1.6, `${many} after ${one}`);
  });
});
