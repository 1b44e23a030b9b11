import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { type Problem, printProblem } from '../../src/config/problem.ts';

function lint(conf: string, files: Record<string, string> = {}): readonly Problem[] {
  const readFile = (path: string): Uint8Array => {
    const bytes = files[path];
    if (bytes === undefined) throw new Error('No such file or directory');
    return Buffer.from(bytes, 'latin1');
  };
  return parseKnockdConf(Buffer.from(conf, 'latin1'), { file: 'k', readFile }).problems;
}

/** `line severity message` of every problem. */
function brief(conf: string, files?: Record<string, string>): string[] {
  return lint(conf, files).map(({ file, severity, line, message }) => {
    return `${file === 'k' ? '' : `${file}:`}${line} ${severity[0]} ${message}`;
  });
}

/** A good door with some lines more. */
const door = (...lines: string[]): string => `[A]\nsequence = 7000,9000,8000\ncommand = x\n${lines.join('\n')}\n`;
const sequence = (value: string): string => `[A]\nsequence = ${value}\n`;

describe('parseKnockdConf() collects problems', () => {
  test('none in the configuration that knockd comes with', () => {
    const conf =
      '[options]\n\tUseSyslog\n\n[openSSH]\n\tsequence    = 7000,8000,9000\n\tseq_timeout = 5\n\tcommand     = /sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\n\ttcpflags    = syn\n\n' +
      '[closeSSH]\n\tsequence    = 9000,8000,7000\n\tseq_timeout = 5\n\tcommand     = /sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\n\ttcpflags    = syn\n\n' +
      '[openHTTPS]\n\tsequence    = 12345,54321,24680,13579\n\tseq_timeout = 5\n\tcommand     = /usr/local/sbin/knock_add -i -c INPUT -p tcp -d 443 -f %IP%\n\ttcpflags    = syn\n';
    assert.deepEqual(brief(conf), []);
  });

  test('all at once, in the order of the lines, one for each slip', () => {
    const conf = `[options]
logfiel = x
interface = eth0  # the wire
[A
Sequenze = 1,3,5
sequence = 7000-7005,ssh,70000
tcpflags = syn, ack
Usesyslog = yes
foo
[B] ; second
sequence = 1:icmp,2
target = not a host!
one_time_sequences = nowhere
[C]
command = y
`;
    assert.deepEqual(brief(conf), [
      '2 e Cannot use the key "logfiel"',
      '3 w The text after "#" is part of Interface: "eth0  # the wire"',
      '4 e Cannot read the section "[A": it does not end with "]"',
      '5 e Cannot use the key "Sequenze"',
      '6 w The range "7000-7005" is taken as port 7000 alone',
      '6 w The text "ssh" is taken as port 0',
      '6 e Cannot use port "70000": the highest is 65535',
      '7 e Cannot use the TCP flag " ACK"',
      '8 e UseSyslog takes no value',
      '9 e Cannot read the line "foo": it has no "="',
      '10 e Cannot read the section "[B]": text follows the "]"',
      '11 e Cannot use the protocol "icmp": knockd knows tcp and udp',
      '12 e Cannot use the target "not a host!"',
      '13 e Cannot read the one-time file "nowhere": No such file or directory',
      '14 e The door "C" has no Sequence',
    ]);
  });

  test('printed as file and line, what, and a hint', () => {
    const [error] = lint('[options]\nlogfiel = x\n[A]\nsequence=1,5,3\n');
    assert.ok(error);
    assert.equal(printProblem(error), 'k:2: Cannot use the key "logfiel"\nhint: Did you mean "LogFile"?');
    const [warning] = lint(sequence('ssh,2,3'));
    assert.ok(warning);
    assert.equal(
      printProblem(warning),
      'k:2: warning: The text "ssh" is taken as port 0\nhint: Write the number: service names are not looked up',
    );
  });

  test('without letting a control byte of the file through', () => {
    assert.match(brief('[A]\nsequence = 1,5,3\n\x1b[31mx = 1\n')[0] ?? '', /"\\x1b\[31mx"/);
  });
});

describe('parseKnockdConf() hints at what was meant', () => {
  const hint = (conf: string): string | undefined => lint(conf).find(({ severity }) => severity === 'error')?.hint;
  const cases: [string, string][] = [
    [door('Sequenec = 1'), 'Did you mean "Sequence"?'],
    [door('seq-timeout = 1'), 'Did you mean "Seq_Timeout"?'],
    [door('stopcommand = 1'), 'Did you mean "Stop_Command"?'],
    [door('tcp_flags = syn'), 'Did you mean "TCPFlags"?'],
    [door('loggfile = 1'), 'Did you mean "LogFile" in the section "[options]"?'],
    [door('logfile = 1'), 'Move it into the section "[options]"'],
    ['[options]\nsequence = 1\n', 'Move it into the section of a door'],
    ['[options]\nUseSyslog = yes\n', 'Write "UseSyslog" alone; leave the line out for no syslog'],
    ['[options]\nUseSyslogd\n', 'Did you mean "UseSyslog"?'],
    ['[options]\nlogfile /var/log/k\n', 'Write "=" between LogFile and its value'],
    ['[options]\nLogFile\n', 'Write "LogFile = value"'],
    ['; comment\n', 'Begin a comment with "#"'],
    [door('// comment'), 'Begin a comment with "#"'],
    ['sequence = 1\n', 'Write a section before it: "[options]", or the name of a door such as "[openSSH]"'],
    ['\xef\xbb\xbf[A]\nsequence = 1,3\n', 'Save the file as UTF-8 without a byte order mark'],
    [door('tcpflags = syn # c'), 'Put the comment on a line of its own: knockd has none after a value'],
    [sequence('7000:7005'), 'Write every port of a range as its own step, such as "7000,7001"'],
    [door(`target = 192.0.2.1 # c`), 'Put the comment on a line of its own: after a value "#" is part of it'],
  ];
  for (const [conf, wanted] of cases) {
    test(wanted, () => assert.equal(hint(conf), wanted));
  }
  test('nothing near: the keys there are', () =>
    assert.match(hint(door('start_delay = 5')) ?? '', /^The keys here are Sequence, /));
});

describe('parseKnockdConf() warns of what knockd swallows', () => {
  const UNREAD: [string, string, string[]][] = [
    ['a range', sequence('7000-7005,8000'), ['2 w The range "7000-7005" is taken as port 7000 alone']],
    ['a name', sequence('http,8000'), ['2 w The text "http" is taken as port 0']],
    ['an empty item', sequence('8000,,7000'), ['2 w An empty item is a step to port 0']],
    ['a trailing comma', sequence('8000,7000,9000,'), ['2 w The trailing comma adds a last step to port 0']],
    ['a negative port', sequence('-1,7000'), ['2 w The negative port "-1" is taken as port 65535']],
    ['a hexadecimal port', sequence('0x1b58,7000'), ['2 w The hexadecimal "0x1b58" is taken as port 0']],
    [
      'a port that wraps',
      sequence('4294967297,7000,80'),
      ['2 w The port "4294967297" overflows and is taken as port 1'],
    ],
    ['port 0', sequence('7000,0'), ['2 w Port 0 cannot be knocked: no client sends to it']],
    ['no port before the colon', sequence(':udp,7'), ['2 w The missing port before the colon is taken as port 0']],
    [
      'two ports without a comma',
      sequence('7000 8000,5'),
      ['2 w The port "7000 8000" is taken as port 7000: the rest is ignored'],
    ],
    ['a second colon', sequence('7000:udp:tcp,80'), ['2 w The second colon in "7000:udp:tcp" ends the item']],
    [
      'a comment',
      sequence('7000,80 # c'),
      ['2 w The text after "#" is part of the sequence, and harmless only because it holds no comma'],
    ],
    ['a comment with a comma', sequence('7000,80 # a, b'), ['2 w The text after "#" adds 1 step to the sequence']],
    ['a comment for a port', sequence('7000,80,# a, b'), ['2 w The text after "#" adds 2 steps to the sequence']],
    [
      'seq_timeout 0',
      door('seq_timeout = 0'),
      ['4 w With Seq_Timeout 0 every knock of more than one port is too late'],
    ],
    [
      'a seq_timeout of text',
      door('seq_timeout = x'),
      [
        '4 w Seq_Timeout "x" is not a number and counts as 0',
        '4 w With Seq_Timeout 0 every knock of more than one port is too late',
      ],
    ],
    ['a seq_timeout with a unit', door('timeout = 15s'), ['4 w Seq_Timeout "15s" is read as 15 seconds']],
    [
      'a huge seq_timeout',
      door('seq_timeout = 86400'),
      ['4 w With Seq_Timeout 86400 a knock may take more than an hour'],
    ],
    [
      'a seq_timeout that wraps',
      door('timeout = 99999999999'),
      [
        '4 w Seq_Timeout "99999999999" overflows and counts as 1215752191 seconds',
        '4 w With Seq_Timeout 1215752191 a knock may take more than an hour',
      ],
    ],
    [
      'a negative cmd_timeout',
      door('cmd_timeout = -1'),
      ['4 w A negative Cmd_Timeout waits about 136 years before the stop command'],
    ],
    [
      'a comment after a timeout',
      door('cmd_timeout = 9 # c'),
      ['4 w The text after "#" is part of Cmd_Timeout, and ignored only because a number comes first'],
    ],
    [
      'a comment after a path',
      '[options]\nlogfile = a # c\n[A]\nsequence=1,4\n',
      ['2 w The text after "#" is part of LogFile: "a # c"'],
    ],
    ['an empty path', '[options]\npidfile =\n[A]\nsequence=1,4\n', ['2 w PidFile is empty']],
    [
      'a host name as target',
      door('target = localhost'),
      ['4 w The target "localhost" is not an IP address: it never matches, so this door never opens'],
    ],
    [
      'a target that is not in its printed form',
      door('target = FD77::9'),
      ['4 w The target "FD77::9" is not in its printed form: knockd compares text and would never match it'],
    ],
    [
      'a door name twice',
      `${sequence('7,1')}${sequence('9,2')}`,
      ['3 w The door "A" is there twice: this is another door beside the one of line 1'],
    ],
    [
      'a sequence twice',
      '[A]\nsequence=7,1\n[B]\nsequence=7,1\n',
      ['4 w This door has the same sequence as door "A" of line 1: one knock opens both'],
    ],
    [
      'a prefix that comes later',
      '[A]\nsequence=7,1,9\n[B]\nsequence=7,1\n',
      ['2 w The sequence begins with the whole sequence of door "B" of line 3: every knock opens that door too'],
    ],
    [
      'a flag both ways',
      door('tcpflags = syn,!syn'),
      ['4 w The flag "syn" is asked for both ways: the last mention counts'],
    ],
    [
      'neighbouring ports upwards',
      sequence('7000,7001,7002'),
      ['2 w A port scan opens this sequence: its ports follow each other without a gap'],
    ],
    [
      'neighbouring ports downwards',
      sequence('7001,7000'),
      ['2 w A port scan opens this sequence: its ports follow each other without a gap'],
    ],
    ['a single port', sequence('7000'), ['2 w A sequence of a single port is opened by every port scan']],
    [
      'UDP alone',
      sequence('7000:udp,9:udp,8000:udp'),
      ['2 w The sequence is UDP alone: its source can be forged, and a scan of UDP ports in random order may open it'],
    ],
    [
      'UDP alone in counting order',
      sequence('7000:udp,9:udp'),
      ['2 w A scan of UDP ports in counting order opens this sequence: its steps are UDP alone, and in that order'],
    ],
    [
      'flags for UDP',
      `${sequence('7000:udp')}tcpflags = syn\n`,
      [
        '2 w A sequence of a single port is opened by every port scan',
        '2 w TCPFlags has no effect on a sequence of UDP packets',
      ],
    ],
    [
      'a stop command alone',
      `${sequence('7,1')}stop_command = x\n`,
      ['3 w Stop_Command never runs: the door has no start command'],
    ],
    [
      'an IPv6 stop command alone',
      `${sequence('7,1')}stop_command_6 = x\n`,
      ['3 w Stop_Command_6 never runs: the door has no start command for IPv6'],
    ],
    ['a directive twice', door('command = y'), ['4 w Start_Command is there twice in this door: line 3 is forgotten']],
    [
      'Interface twice',
      '[options]\ninterface=a\ninterface=b\n[A]\nsequence=1,4\n',
      ['3 w Interface is there twice: the first one counts, and line 2 has the other'],
    ],
    [
      'a long interface name',
      `[options]\ninterface=${'i'.repeat(32)}\n[A]\nsequence=1,4\n`,
      ['2 w The interface name is cut at 31 bytes'],
    ],
    ['a long section name', `[${'n'.repeat(128)}]\nsequence=1,4\n`, ['1 w The name of the door is cut at 127 bytes']],
    [
      'options in capitals',
      '[Options]\nlogfile = x\n[A]\nsequence=1,4\n',
      ['1 w "[Options]" is a door, not the options', '2 e LogFile cannot stand in a door'],
    ],
    [
      'a long line',
      door(`command_6 = x`, `#${'c'.repeat(4094)}`),
      ['5 w The line is longer than 4095 bytes: knockd reads the rest as a line of its own'],
    ],
    ['a NUL byte', door('command_6 = x\0y'), ['4 w A NUL byte hides the rest of this line']],
    [
      'bytes that are no text',
      door('command_6 = \xff'),
      ['4 w Start_Command_6 holds bytes that are not UTF-8: each one becomes U+FFFD'],
    ],
    ['no door at all', '[options]\nusesyslog\n', ['0 w The file has no door']],
    [
      'an empty sequence',
      sequence(''),
      [
        '2 w The sequence is empty: knockd reads it as port 0',
        '2 w A sequence of a single port is opened by every port scan',
      ],
    ],
  ];
  for (const [name, conf, wanted] of UNREAD) {
    test(name, () => assert.deepEqual(brief(conf), wanted));
  }

  test('a command that grows beyond 4095 bytes with the longest address in it', () => {
    const tokens = (count: number, key = 'command_6') => brief(`[A]\nsequence=7,1\n${key} = ${'%IP%'.repeat(count)}\n`);
    assert.deepEqual(tokens(105), []);
    assert.match(tokens(106)[0] ?? '', /^3 w Start_Command_6 may grow to 4134 bytes/);
    assert.deepEqual(brief(`[A]\nsequence=7,1\ncommand_6=\ncommand = ${'%IP%'.repeat(273)}\n`), []);
  });

  test('lines of a one-time file, at their place in that file', () => {
    const files = { s: '# c\n7,1\nxx:yy\n5\n70000\n9,x\n 7,1\n' };
    assert.deepEqual(brief('[A]\none_time_sequences = s\n', files), [
      's:3 w Cannot use the protocol "yy": knockd knows tcp and udp',
      's:5 w Cannot use port "70000": the highest is 65535',
      's:4 w A sequence of a single port is opened by every port scan',
      's:6 w The text "x" is taken as port 0',
      's:7 w This line repeats line 2: whoever saw that knock can replay it',
    ]);
  });

  test('a Sequence after One_Time_Sequences', () => {
    assert.match(brief('[A]\none_time_sequences=s\nsequence=4,2\n', { s: '7,1\n' })[0] ?? '', /^3 w A Sequence after/);
  });

  test('an exhausted one-time file', () => {
    const about = brief('[A]\none_time_sequences=s\n', { s: '#,1\n' });
    assert.deepEqual(about, ['2 e The one-time file "s" has no sequence left']);
  });
});

describe('parseKnockdConf() is silent about', () => {
  const GOOD: [string, string][] = [
    ['white space, case and colons', '[A]\nSEQUENCE =  7000 , 80 :TCP, 9 : udp\n'],
    ['the same sequence for two targets', '[A]\nsequence=7,1\ntarget=192.0.2.1\n[B]\nsequence=7,1\ntarget=192.0.2.2\n'],
    [
      'the same sequence with flags that exclude each other',
      '[A]\nsequence=7,1\ntcpflags=syn\n[B]\nsequence=7,1\ntcpflags=!syn\n',
    ],
    ['a stop command for IPv6 beside a command for it', `${sequence('7,1')}command_6 = a\nstop_command = b\n`],
    ['an empty IPv6 command that silences a door there', door('command_6 =', 'stop_command = b')],
    ['a comment in a command, which the shell skips', door('command_6 = x # c')],
    ['a sequence that counts with gaps', sequence('7000,8000,9000')],
  ];
  for (const [name, conf] of GOOD) test(name, () => assert.deepEqual(brief(conf), []));
});
