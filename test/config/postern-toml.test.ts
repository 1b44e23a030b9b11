import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { PosternConfig } from '../../src/config/postern-config.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { printProblem } from '../../src/config/problem.ts';
import { parseAddress } from '../../src/core/address.ts';
import { ACK, FIN, RST, SYN } from '../../src/core/door.ts';

function load(text: string, file = '/etc/postern/postern.toml'): PosternConfig {
  const result = parsePosternToml(text, { file });
  assert.ok(result.ok, result.problems.map(printProblem).join('\n'));
  return result.config;
}

/** `line: message` and the hint of every problem; a warning says so. */
function problems(text: string | Uint8Array): (readonly [string, string])[] {
  return parsePosternToml(text, { file: 'p.toml' }).problems.map(({ line, severity, message, hint }) => {
    return [`${line}: ${severity === 'warning' ? 'warning: ' : ''}${message}`, hint];
  });
}

const DOOR = `[door.ssh]
protect = ["tcp/22"]
open_for = "30s"
[door.ssh.knock]
steps = ["tcp/7000", "udp/8000", "tcp/9000"]
`;

describe('parsePosternToml() makes doors and settings', () => {
  test('of five lines, with the defaults of everything else', () => {
    assert.deepEqual(load(DOOR), {
      state: { dir: '/var/lib/postern' },
      control: { socket: '/var/lib/postern/control.sock' },
      capture: { interfaces: [] },
      publicPorts: [],
      log: { syslog: true, journald: false, format: 'text', level: 'info' },
      firewall: { driver: 'nftables', face: 'auto', ipv6Prefix: 64 },
      mode: 'guard',
      allow: [],
      traps: [],
      ban: { within: 600_000, duration: 600_000 },
      journal: { keep: 90 * 86_400_000, size: 100_000_000 },
      doors: [
        {
          name: 'ssh',
          line: 1,
          engine: 'daemon',
          boot: 'closed',
          protect: [{ protocol: 'tcp', first: 22, last: 22 }],
          openFor: 30_000,
          renew: true,
          close: 'keep',
          allow: [],
          deny: [],
          hooks: { timeLimit: 10_000 },
          knock: {
            name: 'ssh',
            steps: [
              { protocol: 'tcp', port: 7000 },
              { protocol: 'udp', port: 8000 },
              { protocol: 'tcp', port: 9000 },
            ],
            window: 10_000,
            strays: 2,
            tcpFlags: { set: SYN, clear: FIN | RST | ACK },
          },
        },
      ],
    });
  });

  test('of everything that can be written', () => {
    const config = load(`
[state]
dir = "/srv/postern"
[control]
socket = "/run/postern/control.sock"
[capture]
interfaces = ["eth0", "wg0"]
[public]
ports = ["tcp/443", "tcp/80"]
[log]
syslog = false
journald = true
format = "json"
file = "/var/log/postern.log"
level = "debug"
[firewall]
driver = "iptables"
face = "mirror"
ipv6_prefix = 56
[journal]
keep = "30d"
size = "64MiB"
[door.web]
protect = ["tcp/8000-8010", "tcp/8005-8020", "udp/53"]
open_for = "1h30m"
renew = false
close = "kill"
engine = "daemon"
boot = "open"
sources = { allow = ["192.0.2.0/24", "2001:db8::/32"], deny = ["192.0.2.66"] }
limit = 20
on_open = ["/bin/logger", "open"]
on_close = ["/bin/logger", "closed"]
hook_timeout = "3s"
[door.web.knock]
steps = ["udp/1000", "tcp/3000", "tcp/2000"]
within = "500ms"
strays = 0
flags = ["syn", "!ACK"]
target = "192.0.2.1"
`);
    assert.deepEqual(config.control, { socket: '/run/postern/control.sock' });
    assert.deepEqual(config.capture, { interfaces: ['eth0', 'wg0'] });
    assert.deepEqual(config.publicPorts, [
      { protocol: 'tcp', first: 80, last: 80 },
      { protocol: 'tcp', first: 443, last: 443 },
    ]);
    assert.deepEqual(config.log, {
      syslog: false,
      journald: true,
      format: 'json',
      file: '/var/log/postern.log',
      level: 'debug',
    });
    assert.deepEqual(config.firewall, { driver: 'iptables', face: 'mirror', ipv6Prefix: 56 });
    assert.deepEqual(config.journal, { keep: 30 * 86_400_000, size: 2 ** 26 });
    const [door] = config.doors;
    assert.deepEqual(door, {
      name: 'web',
      line: 23,
      engine: 'daemon',
      boot: 'open',
      protect: [
        { protocol: 'tcp', first: 8000, last: 8020 },
        { protocol: 'udp', first: 53, last: 53 },
      ],
      openFor: 5_400_000,
      renew: false,
      close: 'kill',
      allow: [
        { address: parseAddress('192.0.2.0'), length: 24 },
        { address: parseAddress('2001:db8::'), length: 32 },
      ],
      deny: [{ address: parseAddress('192.0.2.66'), length: 32 }],
      limit: 20,
      hooks: { onOpen: ['/bin/logger', 'open'], onClose: ['/bin/logger', 'closed'], timeLimit: 3000 },
      knock: {
        name: 'web',
        steps: [
          { protocol: 'udp', port: 1000 },
          { protocol: 'tcp', port: 3000 },
          { protocol: 'tcp', port: 2000 },
        ],
        window: 500,
        strays: 0,
        tcpFlags: { set: SYN, clear: ACK },
        target: parseAddress('192.0.2.1'),
      },
    });
  });

  test('with the control socket beside the state', () => {
    assert.equal(load(`[state]\ndir = "/tmp/x"\n${DOOR}`).control.socket, '/tmp/x/control.sock');
  });

  test('with paths that count from the directory of the file', () => {
    const config = load(`[state]\ndir = "state"\n[log]\nfile = "../log/p.log"\n${DOOR}`, '/srv/p/postern.toml');
    assert.equal(config.state.dir, '/srv/p/state');
    assert.equal(config.log.file, '/srv/log/p.log');
  });

  test('in the order of the file, with inline and dotted tables as good as sections', () => {
    const config = load(
      'door.b.protect = ["tcp/2"]\ndoor.a = { protect = ["tcp/1"], knock = { steps = ["tcp/9", "udp/7", "tcp/8"] } }\n',
    );
    assert.deepEqual(
      config.doors.map(({ name, line }) => [name, line]),
      [
        ['b', 1],
        ['a', 2],
      ],
    );
  });

  test('and a door with hooks alone', () => {
    const [door] = load(
      '[door.x]\non_open = ["/bin/true"]\n[door.x.knock]\nsteps = ["tcp/9", "udp/7", "tcp/8"]\n',
    ).doors;
    assert.deepEqual(door?.protect, []);
    assert.deepEqual(door?.hooks.onOpen, ['/bin/true']);
  });

  test('and holds a counting sequence to fewer strays', () => {
    const [door] = load(
      '[door.x]\nprotect = ["tcp/1"]\n[door.x.knock]\nsteps = ["tcp/7000", "tcp/7001", "tcp/7003"]\n',
    ).doors;
    assert.equal(door?.knock?.strays, 0);
  });

  test('and the program of the driver "command"', () => {
    const { firewall } = load(
      `[firewall]\ndriver = "command"\ncommand = ["/usr/local/sbin/firewall", "--zone"]\n${DOOR}`,
    );
    assert.deepEqual(firewall, {
      driver: 'command',
      command: ['/usr/local/sbin/firewall', '--zone'],
      face: 'auto',
      ipv6Prefix: 64,
    });
  });

  test('and every TCP packet counts with an empty list of flags', () => {
    const [door] = load(`${DOOR}flags = []\n`).doors;
    assert.deepEqual(door?.knock?.tcpFlags, { set: 0, clear: 0 });
  });
});

/** A door with one line of its own: line 2. */
const line = (text: string): string =>
  `[door.a]\n${text}\nprotect = ["tcp/9"]\n[door.a.knock]\nsteps = ["tcp/3", "udp/1", "tcp/2"]\n`;
/** A knock with one line of its own: line 4. */
const knock = (text: string): string =>
  `[door.a]\nprotect = ["tcp/9"]\n[door.a.knock]\n${text}\n${text.includes('steps') ? '' : 'steps = ["tcp/3", "udp/1", "tcp/2"]'}`;
const section = (name: string, text: string): string => `[${name}]\n${text}\n${DOOR}`;

describe('parsePosternToml() names a problem with its line and a way out', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    // keys
    [line('protcet = []'), '2: Cannot use the key "protcet" in [door.a]', 'Did you mean "protect"?'],
    [line('Open-For = "1s"'), '2: Cannot use the key "Open-For" in [door.a]', 'Did you mean "open_for"?'],
    [line('cmd_timeout = 1'), '2: Cannot use the key "cmd_timeout" in [door.a]', 'Did you mean "open_for"?'],
    [line('steps = []'), '2: Cannot use the key "steps" in [door.a]', 'Move it into [door.a.knock]'],
    [line('witin = "1s"'), '2: Cannot use the key "witin" in [door.a]', 'Did you mean "within" in [door.a.knock]?'],
    [knock('renew = true'), '4: Cannot use the key "renew" in [door.a.knock]', 'Move it into [door.a]'],
    [
      knock('quux = 1'),
      '4: Cannot use the key "quux" in [door.a.knock]',
      'The keys here are steps, within, strays, flags, target',
    ],
    [`dir = "/x"\n${DOOR}`, '1: Cannot use the key "dir" outside of a section', 'Move it into [state]'],
    [section('captur', 'interfaces = []'), '1: Cannot use the section "[captur]"', 'Did you mean "[capture]"?'],
    [section('doors.web', 'protect = []'), '1: Cannot use the section "[doors]"', 'Did you mean "[door]"?'],
    [section('web', 'protect = ["tcp/80"]'), '1: Cannot use the section "[web]"', 'Write [door.web]'],
    [
      section('zzzz', 'x = 1'),
      '1: Cannot use the section "[zzzz]"',
      'The sections here are ban, tarpit, state, control, capture, public, log, firewall, journal, door',
    ],
    [line('sources.alow = []'), '2: Cannot use the key "alow" in [door.a.sources]', 'Did you mean "allow"?'],
    // what has to be there
    [
      '[door.a]\nprotect = ["tcp/1"]\n[door.a.knock]\nwithin = "1s"',
      '3: The section [door.a.knock] has no steps',
      'Add a line such as steps = ["tcp/7000", "udp/8000", "tcp/9000"]',
    ],
    [
      '[door.a]\nrenew = true',
      '1: The section [door.a] has neither protect nor on_open',
      'Add a line such as protect = ["tcp/22"]',
    ],
    // types
    [
      line('open_for = 30'),
      '2: Cannot use the value 30 for open_for',
      'Add a unit: "30s" is seconds, "ms", "m", "h" and "d" are there too',
    ],
    [line('open_for = true'), '2: Cannot use the value true for open_for', 'Write a duration such as "30s"'],
    [line('open_for = 2026-01-01'), '2: Cannot use a date for open_for', 'Write a duration such as "30s"'],
    [line('renew = "yes"'), '2: Cannot use "yes" for renew', 'Write true or false, without quotes'],
    [line('limit = "20"'), '2: Cannot use "20" for limit', 'Write a whole number from 1 to 1000000, without quotes'],
    [
      line('limit = 0'),
      '2: Cannot use the value 0 for limit',
      'Write a whole number from 1 to 1000000, without quotes',
    ],
    [
      line('limit = 1.5'),
      '2: Cannot use the value 1.5 for limit',
      'Write a whole number from 1 to 1000000, without quotes',
    ],
    [line('close = "drop"'), '2: Cannot use "drop" for close', 'Write "keep", "cut" or "kill"'],
    [line('engine = "fast"'), '2: Cannot use "fast" for engine', 'Write "daemon" or "kernel"'],
    [
      line('sources = ["10.0.0.0/8"]'),
      '2: Cannot use a list of 1 for sources',
      'Make it a section: [door.a.sources], and its keys below',
    ],
    [
      line('sources.allow = "10.0.0.0/8"'),
      '2: Cannot use "10.0.0.0/8" for allow',
      'Write a list: allow = ["10.0.0.0/8"]',
    ],
    [
      '[door.a]\nprotect = "tcp/22, tcp/80"',
      '2: Cannot use "tcp/22, tcp/80" for protect',
      'Write a list: protect = ["tcp/22", "tcp/80"]',
    ],
    [
      '[door.a]\nprotect = [22]',
      '2: Cannot use the value 22 for protect',
      'Write "tcp/22", or "udp" in place of "tcp"',
    ],
    ['[door.a]\nprotect = []', '2: Cannot use an empty list for protect', 'Write at least 1: protect = ["tcp/22"]'],
    ['door = 5', '1: Cannot use the value 5 for door', 'Make it a section: [door.ssh], and its keys below'],
    [
      '[[door]]\nprotect = ["tcp/22"]',
      '1: Cannot use a list of 1 for door',
      'Make it a section: [door.ssh], and its keys below',
    ],
    [`log = "syslog"\n${DOOR}`, '1: Cannot use "syslog" for log', 'Make it a section: [log], and its keys below'],
    [
      knock('steps = [7000, "tcp/3", "udp/5"]'),
      '4: Cannot use the value 7000 for steps',
      'Write "tcp/7000", or "udp" in place of "tcp"',
    ],
    [
      knock(`steps = [${'"tcp/1",'.repeat(33)}]`),
      '4: Cannot use a list of 33 for steps',
      'Write at least 1 and at most 32: steps = ["tcp/7000", "udp/8000", "tcp/9000"]',
    ],
    // values
    [line('open_for = "30 seconds"'), '2: Cannot read the duration "30 seconds"', 'Write "30s"'],
    [line('open_for = "0s"'), '2: Cannot use a duration of 0s: it is too short', 'The least is "100ms"'],
    [knock('within = "2h"'), '4: Cannot use a duration of 2h: it is too long', 'The most is "1h"'],
    [
      line('sources.deny = ["10.0.0.1/8"]'),
      '2: Cannot read the address "10.0.0.1/8": bits are set behind the length',
      'Write "10.0.0.0/8" for the block, or "10.0.0.1" for the one address',
    ],
    [
      line('on_open = ["logger"]'),
      '2: Cannot run "logger": a program is named by its whole path',
      'Write the path that "command -v" shows, such as "/usr/bin/logger"',
    ],
    [
      line('on_close = "/bin/logger gone"'),
      '2: Cannot use "/bin/logger gone" for on_close',
      'Write a list: on_close = ["/bin/logger", "gone"]',
    ],
    [
      knock('flags = ["sin"]'),
      '4: Cannot read the TCP flag "sin"',
      'Write flags such as "syn" or "!ack"; there are fin, syn, rst, psh, ack, urg',
    ],
    [
      knock('flags = ["syn", "!ack", "!rst", "!fin", "urg", "!urg"]'),
      '4: The flag "urg" is asked for both ways',
      'Keep either "urg" or "!urg"',
    ],
    [
      knock('target = "localhost"'),
      '4: Cannot read the address "localhost"',
      'Write one address of this machine, such as "192.0.2.1", or leave target out',
    ],
    [
      '[door.9x]\nprotect = ["tcp/22"]',
      '1: Cannot use the name "9x" for a door',
      'Write a letter, then letters, digits, "_" and "-", such as [door.ssh]',
    ],
    [
      `[door.${'x'.repeat(33)}]\nprotect = ["tcp/22"]`,
      `1: Cannot use the name "${'x'.repeat(33)}" for a door: it is longer than 32 characters`,
      'Write a shorter name',
    ],
    [
      '[door.warning]\nprotect = ["tcp/22"]',
      '1: Cannot use the name "warning" for a door: lines of the log begin with it',
      'Choose another name',
    ],
    [
      '[door.constructor]\nprotect = ["tcp/22"]',
      '1: Cannot use the name "constructor" for a door',
      'Give it another name',
    ],
    ['[door.__proto__]\nprotect = ["tcp/22"]', '1: Cannot use the name "__proto__" for a door', 'Give it another name'],
    [
      section('capture', 'interfaces = ["eth0,eth1"]'),
      '2: Cannot use the interface "eth0,eth1"',
      'Write every interface as an item of its own: ["eth0", "eth1"]',
    ],
    [
      section('capture', 'interfaces = ["a-name-of-16-byte"]'),
      '2: Cannot use the interface "a-name-of-16-byte"',
      'Write a name that "ip link" shows, such as "eth0"',
    ],
    [
      section('capture', 'interfaces = ["any", "eth0"]'),
      '2: Cannot listen on "any" beside other interfaces',
      'Write interfaces = ["any"], or leave "any" out',
    ],
    [section('state', 'dir = ""'), '2: Cannot use an empty path', 'Write a path, or remove the line for the default'],
    [
      section('state', 'dir = "~/postern"'),
      '2: Cannot use the path "~/postern": "~" is the shell\'s',
      'Write the whole path, such as "/root/postern"',
    ],
    [
      section('control', `socket = "/${'x'.repeat(110)}"`),
      '2: Cannot use a socket whose path has 111 bytes: the system takes 107',
      'Write a shorter path for socket in [control]',
    ],
    [
      section('firewall', 'driver = "nft"'),
      '2: Cannot use "nft" for driver',
      'Write "nftables", "iptables", "ipfw", "pf" or "command"',
    ],
    [
      section('firewall', 'driver = "command"'),
      '2: The driver "command" has no program to run',
      'Add command = ["/usr/local/sbin/firewall"] (see doc/firewalls.md)',
    ],
    [
      section('firewall', 'driver = "command"\ncommand = ["firewall"]'),
      '3: Cannot run "firewall": a program is named by its whole path',
      'Write the path that "command -v" shows, such as "/usr/bin/logger"',
    ],
    [
      section('firewall', 'face = "drop"\ncommand = ["/usr/local/sbin/firewall"]'),
      '3: The driver "nftables" runs no program of yours',
      'Write driver = "command", or remove the line',
    ],
    [
      section('firewall', 'ipv6_prefix = 0'),
      '2: Cannot use the value 0 for ipv6_prefix',
      'Write a whole number from 32 to 128, without quotes',
    ],
    [section('journal', 'size = 100'), '2: Cannot use the value 100 for size', 'Add a unit, such as "100MB"'],
    // syntax
    [line('open_for = 30s'), '2: Cannot read the line "open_for = 30s"', 'Write open_for = "30s"'],
    [
      line('renew = yes # of course'),
      '2: Cannot read the line "renew = yes # of course"',
      'Write renew = true # of course',
    ],
    [line('open_for: "30s"'), '2: Cannot read the line "open_for: "30s""', 'Write open_for = "30s"'],
    [line('open_for = "30s'), '2: Cannot read the line "open_for = "30s"', 'Write open_for = "30s"'],
    [
      line('sources.allow = [10.0.0.0/8, ::1]'),
      '2: Cannot read the line "sources.allow = [10.0.0.0/8, ::1]"',
      'Write sources.allow = ["10.0.0.0/8", "::1"]',
    ],
    [
      knock('steps = ["tcp/3" "udp/1" "tcp/2"]'),
      '4: Cannot read the line "steps = ["tcp/3" "udp/1" "tcp/2"]"',
      'Write steps = ["tcp/3", "udp/1", "tcp/2"]',
    ],
    [section('state', 'dir ='), '2: The key "dir" has no value', 'Write a value after "=", or remove the line'],
    [
      section('state', 'dir = "/a"\ndir = "/b"'),
      '3: The key "dir" is there twice: line 2 has the other',
      'Remove one of the two',
    ],
    [
      section('public', 'ports = ["tcp/80"]\nports = ["tcp/443"]'),
      '3: The key "ports" is there twice: line 2 has the other',
      'Remove one of the two',
    ],
    [
      'public = { ports = ["tcp/80"], ports = ["tcp/443"] }',
      '1: The key "ports" is there twice on this line',
      'Remove one of the two',
    ],
    [
      `public = { ports = ["tcp/80"] }\npublic = { ports = [] }\n${DOOR}`,
      '2: The key "public" is there twice: line 1 has the other',
      'Remove one of the two',
    ],
    [
      `${DOOR}[door.ssh]\nrenew = false\n`,
      '6: The section "[door.ssh]" is there twice: line 1 has the other',
      'Merge the two sections',
    ],
    [
      '[door.ssh\nprotect = ["tcp/22"]\n[door.ssh.knock]\nsteps = ["tcp/3", "udp/1", "tcp/2"]',
      '1: Cannot read the section "[door.ssh"',
      'Write [door.ssh]',
    ],
    ['[door.my door]\nprotect = ["tcp/9"]', '1: Cannot read the section "[door.my door]"', 'Write [door.my_door]'],
    [
      '[door.ssh]\nprotect = ["tcp/80" # "ssh]"\n\nopen_for = "30s"',
      '2: The list "protect" does not end with "]"',
      'Write protect = ["tcp/80"] # "ssh]"',
    ],
    [
      '[door.ssh]\nprotect = [\n  "tcp/22",\n  "tcp/80"\n[door.ssh.knock]\nsteps = ["tcp/1", "udp/3", "tcp/2"]',
      '4: The list "protect" does not end with "]"',
      'Write "tcp/80"]',
    ],
    [
      '[door.ssh]\nprotect = ["tcp/80"]\n[door.ssh.knock]\nsteps = ["tcp/1", "udp/3", "tcp/2"\n\n',
      '4: The list "steps" does not end with "]"',
      'Write steps = ["tcp/1", "udp/3", "tcp/2"]',
    ],
    ['x = """\nabc', '1: Cannot read TOML here: unfinished string', 'Close what is opened here: a quote, "]" or "}"'],
    ['zzzz = 1', '1: Cannot use the key "zzzz" outside of a section', 'The keys here are mode, allow, trap'],
    [
      `allow = ["192.0.2.0/24", "::/0"]\n${DOOR}`,
      '1: Cannot trust every address: no door would close',
      'Write the networks that you trust in allow, or set mode = "observe" to try things out',
    ],
    [
      `${DOOR}`.replace('protect', 'engine = "kernel"\nprotect'),
      '2: Cannot have the kernel recognize knocks: this version does not know how',
      'Leave engine out: the daemon recognizes the knock',
    ],
    ['traps = ["tcp/23"]', '1: Cannot use the key "traps" outside of a section', 'Did you mean "trap"?'],
    [`limit = 99999999999999999999\n${DOOR}`, '1: Cannot use a number of that size', 'Write a smaller number'],
  ];
  for (const [text, expected, hint] of cases) {
    test(expected, () => assert.deepEqual(problems(text), [[expected, hint]]));
  }

  test('a file that is not UTF-8', () => {
    assert.deepEqual(problems(Buffer.from('# caf\xe9\n', 'latin1')), [
      ['1: Cannot read the file: it is not UTF-8', 'Save it as UTF-8'],
    ]);
    assert.deepEqual(
      problems(Buffer.from('# a\n\n# caf\xe9', 'latin1'))[0]?.[0],
      '3: Cannot read the file: it is not UTF-8',
    );
  });

  test('a file without a door', () => {
    assert.deepEqual(problems('# nothing'), [
      ['0: warning: The file has no door', 'Add a section such as [door.ssh] with protect = ["tcp/22"]'],
    ]);
  });
});

describe('parsePosternToml() does not miss in one place what is misspelt in another', () => {
  const KNOCK = 'steps = ["tcp/3", "udp/1", "tcp/2"]';
  for (const [text, expected] of [
    [`[dor.ssh]\nprotect = ["tcp/22"]\n[dor.ssh.knock]\n${KNOCK}`, '1: Cannot use the section "[dor]"'],
    [`[dor.ssh]\nprotect = ["tcp/22"]\n[door.ssh.knock]\n${KNOCK}`, '1: Cannot use the section "[dor]"'],
    [`[dor.ssh]\non_open = ["/bin/true"]\n[door.ssh.knock]\n${KNOCK}`, '1: Cannot use the section "[dor]"'],
    [`[door.ssh]\nprotect = ["tcp/22"]\n[dor.ssh.knock]\n${KNOCK}`, '3: Cannot use the section "[dor]"'],
    [`[door.ssh]\nprotect = ["tcp/22"]\n[ssh.knock]\n${KNOCK}`, '3: Cannot use the section "[ssh]"'],
    [`[ssh]\nprotect = ["tcp/22"]\n[door.ssh.knock]\n${KNOCK}`, '1: Cannot use the section "[ssh]"'],
    [
      `[door.ssh]\nprotect = ["tcp/22"]\n[door.ssh.knok]\n${KNOCK}\n[door.ssh.knock]\nwithin = "5s"`,
      '3: Cannot use the key "knok" in [door.ssh]',
    ],
    [`[door.a]\non_opn = ["/bin/true"]\n[door.a.knock]\n${KNOCK}`, '2: Cannot use the key "on_opn" in [door.a]'],
  ] as const) {
    test(`${text.replaceAll('\n', ' ')}: ${expected}`, () =>
      assert.deepEqual(
        problems(text).map(([found]) => found),
        [expected],
      ));
  }
});

describe('parsePosternToml() collects', () => {
  test('all problems of a file at once, one for each slip, in the order of the lines', () => {
    const text = `[state]
dri = "/tmp/x"
[capture]
interfaces = "eth0, eth1"

[door.ssh]
protcet = ["tcp/22"]
open_for = 30s
renew = yes
engine = "kernal"
sources = { alow = ["10.0.0.1/8"], deny = ["x"] }

[door.ssh.knock]
sequence = ["tcp/1"]
within = 10

[door.b]
protect = [tcp/80]
open_for = "30 minutes"
open_for = "3s"
[door.b.knock]
steps = ["tcp/1", "tcp/2", "tcp/3"]
strays =
`;
    assert.deepEqual(
      problems(text).map(([message]) => message),
      [
        '2: Cannot use the key "dri" in [state]',
        '4: Cannot use "eth0, eth1" for interfaces',
        '7: Cannot use the key "protcet" in [door.ssh]',
        '8: Cannot read the line "open_for = 30s"',
        '9: Cannot read the line "renew = yes"',
        '10: Cannot use "kernal" for engine',
        '11: Cannot use the key "alow" in [door.ssh.sources]',
        '11: Cannot read the address "x"',
        '14: Cannot use the key "sequence" in [door.ssh.knock]',
        '15: Cannot use the value 10 for within',
        '18: Cannot read the line "protect = [tcp/80]"',
        '19: Cannot read the duration "30 minutes"',
        '20: The key "open_for" is there twice: line 19 has the other',
        '23: The key "strays" has no value',
      ],
    );
  });

  test('the warnings of the doors that are right beside the errors of the others', () => {
    const text = '[door.a]\nprotect = 1\n[door.b]\nprotect = ["tcp/1"]\n[door.b.knock]\nsteps = ["tcp/5"]\n';
    assert.deepEqual(
      problems(text).map(([message]) => message),
      ['2: Cannot use the value 1 for protect', '6: warning: A sequence of a single port is opened by every port scan'],
    );
  });

  test('items on the lines where they stand', () => {
    const text = '[door.a]\nprotect = [\n  "tcp/1",\n  "x",\n  "tcp/2",\n  "70000",\n]\n';
    assert.deepEqual(
      problems(text).map(([message]) => message),
      ['4: Cannot read the ports "x"', '6: Cannot read the ports "70000"'],
    );
  });

  test('control characters as text that a terminal can show', () => {
    const [first] = problems('[door.a]\nprotect = ["\\u001b[31m"]\n');
    assert.equal(first?.[0], '2: Cannot read the ports "\\x1b[31m"');
  });
});

describe('parsePosternToml() never throws', () => {
  const words = [
    '[door.a]',
    '[door.a.knock]',
    '[',
    ']',
    '{',
    '}',
    '=',
    '"tcp/22"',
    'protect',
    'steps',
    'within',
    '"30s"',
    '30s',
    '\n',
    '"""',
    "'",
    ',',
    '.',
    '#',
    '\\',
    '[[door]]',
    'sources',
    '1',
    'true',
    '\u0000',
    '\ud800',
    '__proto__',
    '\r\n',
    'open_for = ',
  ];

  test('on any text', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 60 }), (parts) => {
        const { ok, problems } = parsePosternToml(parts.join(' '), { file: 'p' });
        assert.equal(ok, !problems.some(({ severity }) => severity === 'error'));
      }),
      { numRuns: 3000 },
    );
  });

  test('on any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parsePosternToml(bytes, { file: 'p' })));
  });

  test('on a good file with one change, and the lines it names are there', () => {
    fc.assert(
      fc.property(
        fc.nat(DOOR.length),
        fc.nat(3),
        fc.constantFrom('', '"', '[', ']', '=', '\n', 'x', '9', '#', '{'),
        (at, cut, more) => {
          const text = DOOR.slice(0, at) + more + DOOR.slice(at + cut);
          for (const problem of parsePosternToml(text, { file: 'p' }).problems) {
            assert.ok(problem.line >= 0 && problem.line <= text.split('\n').length);
            assert.ok(problem.hint !== '' && problem.message !== '');
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
