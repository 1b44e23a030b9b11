import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { importKnockdConf } from '../../src/config/import-knockd.ts';
import { parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { printStep } from '../../src/config/ports.ts';
import type { PosternConfig } from '../../src/config/postern-config.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { printProblem } from '../../src/config/problem.ts';

interface Run {
  readonly toml: string;
  readonly notes: readonly string[];
  readonly config: PosternConfig;
}

/** Undefined when knockd would not take the file. */
function tryImport(conf: string): Run | undefined {
  const readFile = (): Uint8Array => Buffer.from('1000,3000,2000\n');
  const parsed = parseKnockdConf(conf, { file: 'k.conf', readFile });
  if (!parsed.ok) return undefined;
  const { toml, notes } = importKnockdConf(parsed.config, { file: 'k.conf' });
  const result = parsePosternToml(toml, { file: 'p.toml' });
  assert.ok(result.ok, `${toml}\n${result.problems.map(printProblem).join('\n')}`);
  return { toml, notes, config: result.config };
}

function run(conf: string): Run {
  const done = tryImport(conf);
  assert.ok(done);
  return done;
}

const RULE = 'INPUT -s %IP% -p tcp --dport 22 -j ACCEPT';

const DEBIAN = `[options]
	UseSyslog

[openSSH]
	sequence    = 7000,8000,9000
	seq_timeout = 5
	command     = /sbin/iptables -A ${RULE}
	tcpflags    = syn

[closeSSH]
	sequence    = 9000,8000,7000
	seq_timeout = 5
	command     = /sbin/iptables -D ${RULE}
	tcpflags    = syn

[openHTTPS]
	sequence    = 12345,54321,24680,13579
	seq_timeout = 5
	command     = /usr/local/sbin/knock_add -i -c INPUT -p tcp -d 443 -f %IP%
	tcpflags    = syn
`;

const GUARDED =
  'k.conf: These doors close their ports themselves: a firewall that closes them too has to let them through';

describe('importKnockdConf()', () => {
  test("makes two doors of Debian's three, and says what became of the rest", () => {
    const { toml, notes } = run(DEBIAN);
    assert.equal(
      toml,
      `# From k.conf, by "postern import".

[log]
syslog = true

# k.conf:4 [openSSH] and k.conf:10 [closeSSH]
[door.ssh]
protect = ["tcp/22"]
open_for = "1h"

[door.ssh.knock]
steps = ["tcp/7000", "tcp/8000", "tcp/9000"]
within = "5s"

# k.conf:16 [openHTTPS]
[door.openHTTPS]
on_open = ["/bin/sh", "-c", "/usr/local/sbin/knock_add -i -c INPUT -p tcp -d 443 -f \${POSTERN_SOURCE}"]

[door.openHTTPS.knock]
steps = ["tcp/12345", "tcp/54321", "tcp/24680", "tcp/13579"]
within = "5s"
`,
    );
    assert.deepEqual(notes, [
      GUARDED,
      'k.conf:4: The door "openSSH" is called "ssh"',
      'k.conf:10: The door "closeSSH" and its knock (tcp/9000 tcp/8000 tcp/7000) are not carried over: the door "ssh" closes by itself after 1h, or with "postern close ssh"',
      'k.conf:16: The command of the door "openHTTPS" is run as a hook: it is none that is understood; write protect in place of the hooks if it opens a port',
    ]);
  });

  test('makes a door of a start and a stop command', () => {
    const { config, notes } = run(
      `[options]\ninterface = eth0\nlogfile = /var/log/knockd.log\n[ssh]\nsequence = 7000:udp,9000,8000\ntcpflags = syn\nstart_command = iptables -I ${RULE}\nstop_command = iptables -D ${RULE}\ncmd_timeout = 30\n`,
    );
    assert.deepEqual(notes, [GUARDED]);
    assert.deepEqual(config.capture.interfaces, ['eth0']);
    const { syslog, file, level } = config.log;
    assert.deepEqual({ syslog, file, level }, { syslog: false, file: '/var/log/knockd.log', level: 'info' });
    const [door] = config.doors;
    assert.equal(door?.openFor, 30_000);
    assert.deepEqual(door?.protect, [{ protocol: 'tcp', first: 22, last: 22 }]);
    assert.equal(door?.knock?.window, 25_000);
    assert.deepEqual(door?.knock?.steps.map(printStep), ['udp/7000', 'tcp/9000', 'tcp/8000']);
  });

  /** One door, and its notes but the general one. */
  const notesOf = (...lines: string[]): readonly string[] =>
    run(`[a]\nsequence = 7000,9000,8000\ntcpflags = syn\n${lines.join('\n')}\n`).notes.filter(
      (note) => note !== GUARDED,
    );

  for (const [lines, expected] of [
    [[`command = iptables -I ${RULE}`], ['k.conf:1: The door "a" closes by itself after 1h: nothing closed it before']],
    [
      [`start_command = iptables -I ${RULE}`, 'stop_command = /bin/told %IP%'],
      ['k.conf:1: The stop command of the door "a" is run as a hook when a grant ends: it is none that is understood'],
    ],
    [
      [`command = iptables -I INPUT -i eth0 -s %IP% -p tcp --dport 22 -j ACCEPT`, 'stop_command = x'],
      [
        'k.conf:1: The door "a" closes its ports altogether: "-i eth0" of the command is not carried over',
        'k.conf:1: The stop command of the door "a" is run as a hook when a grant ends: it is none that is understood',
      ],
    ],
    [
      ['command = ipset add knocked %IP% timeout 60'],
      [
        'k.conf:1: The command of the door "a" is run as a hook: the port behind the set "knocked" is not in the file; write protect in place of the hooks to have it closed here',
      ],
    ],
    [
      ['command = iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT'],
      ['k.conf:1: The door "a" is not carried over: its command closes a port that no other door opens'],
    ],
    [
      ['command = ufw allow from %IP% to any port 22', 'stop_command = ufw delete allow from %IP% to any port 22'],
      [
        'k.conf:1: The door "a" closes its ports for tcp and udp: the command names no protocol, which ufw takes for both; take what you do not mean out of protect',
      ],
    ],
    [
      [
        'command = ufw allow from %IP% to any port 22 proto tcp',
        'stop_command = ufw delete allow from %IP% to any port 22 proto tcp',
      ],
      [],
    ],
    [['stop_command = x'], ['k.conf:1: The door "a" is not carried over: it has no start command']],
    [
      [`command = iptables -I ${RULE}`, 'command_6 =', `stop_command = iptables -D ${RULE}`],
      ['k.conf:1: The door "a" is for IPv4 sources alone, because its command for IPv6 is empty'],
    ],
    [
      [`command = iptables -I ${RULE}`, 'command_6 = /bin/other %IP%', `stop_command = iptables -D ${RULE}`],
      [
        'k.conf:1: The command for IPv6 of the door "a" is run as a hook, and the ports of the one for IPv4 are opened: it is none that is understood',
      ],
    ],
    [
      [
        `command = iptables -I ${RULE}`,
        'command_6 = ip6tables -I INPUT -s %IP% -p tcp --dport 2222 -j ACCEPT',
        `stop_command = iptables -D ${RULE}`,
        'stop_command_6 = /bin/other %IP%',
      ],
      [
        'k.conf:1: The door "a" opens the same ports over IPv6 as over IPv4: "ip6tables -I INPUT -s %IP% -p tcp --dport 2222 -j ACCEPT" is not carried over',
        'k.conf:1: The stop command for IPv6 of the door "a" is run as a hook when a grant ends: it is none that is understood',
      ],
    ],
    [
      ['command = x', 'seq_timeout = 0'],
      ['k.conf:1: The door "a" is not carried over: its Seq_Timeout is 0, so it never opened'],
    ],
    [
      ['command = x', 'sequence = 1,0'],
      ['k.conf:1: The door "a" is not carried over: a step goes to port 0, which cannot be knocked'],
    ],
    [
      ['command = x', 'target = nowhere.example'],
      ['k.conf:1: The door "a" is not carried over: its target matches no packet, so it never opened'],
    ],
    [
      ['command = x', 'one_time_sequences = /list'],
      ['k.conf:1: The door "a" is not carried over: its one-time sequences in "/list" have no counterpart'],
    ],
  ] as const) {
    test(`says of "${lines[0]}": ${expected.join('; ') || 'nothing'}`, () =>
      assert.deepEqual(notesOf(...lines), expected));
  }

  test('names the file and the doors in full, however long', () => {
    const file = `/srv/${'configurations/'.repeat(6)}knockd.conf`;
    const parsed = parseKnockdConf(DEBIAN, { file, readFile: () => new Uint8Array() });
    assert.ok(parsed.ok);
    const { toml } = importKnockdConf(parsed.config, { file });
    assert.ok(toml.startsWith(`# From ${file}, by "postern import".\n`));
    assert.ok(toml.includes(`\n# ${file}:4 [openSSH] and ${file}:10 [closeSSH]\n[door.ssh]\n`));
  });

  test('keeps flags and target that mean something', () => {
    const { toml } = run('[a]\nsequence = 7000,9000,8000\ntcpflags = fin,!ack\ntarget = 192.0.2.1\ncommand = x\n');
    assert.match(toml, /^flags = \["fin", "!ack"\]\ntarget = "192.0.2.1"$/m);
  });

  test('gives every door a name of its own that fits', () => {
    const long = 'x'.repeat(60);
    const names = ['my door', 'my+door', '9 lives', '---', long, `${long}y`, 'constructor'];
    const { config } = run(names.map((name, i) => `[${name}]\nsequence = ${i + 1},9000,8000\ncommand = x\n`).join(''));
    assert.deepEqual(
      config.doors.map(({ name }) => name),
      ['my-door', 'my-door-2', 'lives', 'door', 'x'.repeat(32), `${'x'.repeat(30)}-2`, 'door-2'],
    );
  });

  test('makes hooks in which the shell finds the address wherever it stood', () => {
    const command = `printf '%s|' %IP% "<%IP%>" 'a %IP% b' \\%IP% x%IP%x "it's %IP%" \\"`;
    const { config } = run(`[a]\nsequence = 7000,9000,8000\ncommand = ${command}\n`);
    const [program = '', ...args] = config.doors[0]?.hooks.onOpen ?? [];
    const { stdout } = spawnSync(program, args, { env: { POSTERN_SOURCE: '2001:db8::7' }, encoding: 'utf8' });
    const expected = spawnSync('/bin/sh', ['-c', command.replaceAll('%IP%', '2001:db8::7')], { encoding: 'utf8' });
    assert.equal(stdout, expected.stdout);
    assert.match(stdout, /2001:db8::7/);
  });

  test('makes hooks that run the command of the family that knocked', () => {
    const lines = ['four %IP% # 4', "six '%IP%'", 'bye4 %IP%', 'bye6 %IP%'].map((line) => `echo ${line}`);
    const keys = ['start_command', 'start_command_6', 'stop_command', 'stop_command_6'];
    const { config, notes } = run(
      `[a]\nsequence = 7000,9000,8000\n${keys.map((key, i) => `${key} = ${lines[i]}`).join('\n')}\n`,
    );
    assert.ok(!notes.some((note) => note.includes('not carried over')));
    const said = (argv: readonly string[] = [], source: string): string => {
      const [program = '', ...args] = argv;
      return spawnSync(program, args, { env: { POSTERN_SOURCE: source }, encoding: 'utf8' }).stdout.trim();
    };
    const hooks = config.doors[0]?.hooks;
    assert.deepEqual(
      ['192.0.2.7', '2001:db8::7'].flatMap((source) => [said(hooks?.onOpen, source), said(hooks?.onClose, source)]),
      ['four 192.0.2.7', 'bye4 192.0.2.7', 'six 2001:db8::7', 'bye6 2001:db8::7'],
    );
  });

  test('makes a file that postern takes of whatever knockd takes', () => {
    const value = fc.oneof(
      fc.constantFrom(
        '7000,8000:udp,9000',
        '1',
        '70,0',
        'syn,!ack',
        'fin',
        '30',
        '0',
        '-1',
        '99999999',
        '192.0.2.1',
        '::1',
        '/list',
        'eth0',
        'eth0:1 x',
        '',
        `iptables -I ${RULE}`,
        `iptables -D ${RULE}`,
        'ipset add k %IP%',
        "echo '%IP%' \"",
      ),
      fc.string({ unit: 'binary', maxLength: 12 }),
    );
    const key = fc.constantFrom(
      ...'sequence command start_command stop_command command_6 stop_command_6 cmd_timeout seq_timeout tcpflags target one_time_sequences'.split(
        ' ',
      ),
    );
    const option = fc.constantFrom('interface', 'logfile', 'pidfile');
    const line = (of: fc.Arbitrary<string>) =>
      fc.tuple(of, value).map(([name, text]) => `${name} = ${text.replaceAll(/[\n\r]/g, '')}`);
    const name = fc.oneof(
      fc.constantFrom('openSSH', 'closeSSH', 'a', 'constructor'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
    );
    const door = fc
      .tuple(name, fc.array(line(key), { maxLength: 5 }))
      .map(([own, lines]) => `[${own.replaceAll(/[\n\r]/g, '')}]\nsequence = 7000,9000,8000\n${lines.join('\n')}\n`);
    const file = fc
      .tuple(fc.array(line(option), { maxLength: 2 }), fc.array(door, { maxLength: 4 }))
      .map(([options, doors]) => `[options]\n${options.join('\n')}\n${doors.join('')}`);
    let taken = 0;
    fc.assert(
      fc.property(file, (conf) => {
        const done = tryImport(conf);
        if (!done) return;
        taken++;
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
        for (const note of done.notes) assert.doesNotMatch(note, /[\x00-\x1f]/);
      }),
      { numRuns: 1500 },
    );
    assert.ok(taken > 300, `only ${taken} were taken`);
  });
});
