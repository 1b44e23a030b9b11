import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type KnockdConfig, type KnockdConfResult, parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { NOWHERE } from '../../src/config/knockd-target.ts';
import { parseAddress } from '../../src/core/address.ts';
import { ACK, SYN } from '../../src/core/door.ts';
import { readKnockdVectors } from '../support/knockd-vectors.ts';

const NO_FILE = 'No such file or directory';

function noFile(): never {
  throw new Error(NO_FILE);
}

function parse(conf: string, files: Record<string, string> = {}): KnockdConfResult {
  const readFile = (path: string): Uint8Array => Buffer.from(files[path] ?? noFile(), 'latin1');
  return parseKnockdConf(conf, { file: 'knockd.conf', readFile });
}

function load(conf: string, files: Record<string, string> = {}): KnockdConfig {
  const result = parse(conf, files);
  assert.ok(result.ok, result.ok ? '' : result.knockdError);
  return result.config;
}

const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

describe('parseKnockdConf() says what knockd says', () => {
  const vectors = readKnockdVectors(new URL('knockd-conf-vectors.md', import.meta.url));
  test('there are vectors', () => assert.ok(vectors.length > 140));
  for (const vector of vectors) {
    test(vector.title, () => {
      const result = parseKnockdConf(Buffer.from(vector.conf, 'latin1'), {
        file: 'k.conf',
        interface: 'nope0',
        readFile: (path) => Buffer.from((path === 's' ? vector.sequences : undefined) ?? noFile(), 'latin1'),
      });
      assert.deepEqual(result.trace, vector.stdout.map(text));
      assert.deepEqual(result.stderr, vector.stderr.map(text));
      const ended = result.ok || result.stoppedAt === 'filter' ? 'ok' : 'usage';
      assert.equal(ended, vector.end);
    });
  }
});

describe('parseKnockdConf() makes doors', () => {
  test('of the sample configuration', () => {
    const config = load(
      '[options]\n\tUseSyslog\n\n[openSSH]\n\tsequence    = 7000,8000:udp,9000\n\tseq_timeout = 5\n\tcommand     = /sbin/iptables %IP%\n\ttcpflags    = syn,!ack\n',
    );
    assert.deepEqual(config, {
      useSyslog: true,
      doors: [
        {
          knock: {
            name: 'openSSH',
            steps: [
              { protocol: 'tcp', port: 7000 },
              { protocol: 'udp', port: 8000 },
              { protocol: 'tcp', port: 9000 },
            ],
            window: 5000,
            strays: 2,
            tcpFlags: { set: SYN, clear: ACK },
          },
          line: 4,
          startCommand: '/sbin/iptables %IP%',
          cmdTimeout: 10_000,
        },
      ],
    });
  });

  test('with knockd defaults of 25 and 10 seconds', () => {
    const [door] = load('[A]\nsequence = 1,5,3\n').doors;
    assert.equal(door?.knock.window, 25_000);
    assert.equal(door?.cmdTimeout, 10_000);
    assert.deepEqual(door?.knock.tcpFlags, { set: 0, clear: 0 });
  });

  test('that tell an empty command from an absent one', () => {
    const [door] = load('[A]\nsequence = 1\ncommand = x\ncommand_6 =\n').doors;
    assert.equal(door?.startCommand6, '');
    assert.equal(door && 'stopCommand' in door, false);
  });

  test('whose timeouts never go below zero, as sleep(3) and the clock take them', () => {
    const [door] = load('[A]\nsequence = 1,2\nseq_timeout = -5\ncmd_timeout = -5\n').doors;
    assert.equal(door?.knock.window, 0);
    assert.equal(door?.cmdTimeout, 4_294_967_291_000);
  });

  test('under one name when the file says so', () => {
    assert.deepEqual(
      load('[A]\nsequence = 1\n[A]\nsequence = 2\n').doors.map((door) => door.knock.name),
      ['A', 'A'],
    );
  });

  test('with the flags of all TCPFlags lines, the last mention of each', () => {
    const [door] = load('[A]\nsequence = 1,2\ntcpflags = SyN,!syn\ntcpflags = ack\n').doors;
    assert.deepEqual(door?.knock.tcpFlags, { set: ACK, clear: SYN });
  });

  test('that hear their target, or nothing when it is no address', () => {
    const target = (value: string) => load(`[A]\nsequence = 1\ntarget = ${value}\n`).doors[0]?.knock.target;
    assert.deepEqual(target('192.0.2.1'), parseAddress('192.0.2.1'));
    assert.deepEqual(target('FD77::9'), parseAddress('fd77::9'));
    assert.deepEqual(target('localhost'), NOWHERE);
    assert.equal(load('[A]\nsequence = 1\ntarget = localhost\n').doors[0]?.targetText, 'localhost');
  });

  test('with the first usable line of a one-time file', () => {
    const [door] = load('[A]\none_time_sequences = s\n', { s: '# c\nxx:yy\n 7000,8000:udp\n' }).doors;
    assert.equal(door?.oneTime?.path, 's');
    assert.equal(door?.oneTime?.current?.line, 3);
    assert.equal(door?.oneTime?.current?.offset, 10);
    assert.deepEqual(door?.knock.steps, door?.oneTime?.current?.steps);
  });

  test('whose Sequence after One_Time_Sequences serves first', () => {
    const [door] = load('[A]\none_time_sequences = s\nsequence = 5\n', { s: '7000\n' }).doors;
    assert.deepEqual(door?.knock.steps, [{ protocol: 'tcp', port: 5 }]);
    assert.deepEqual(door?.oneTime, { path: 's' });
  });

  test('beside options: the first Interface, the last LogFile and PidFile, an empty one kept', () => {
    const { doors, ...options } = load(
      '[options]\ninterface =\ninterface = eth1\ninterface = lo\nlogfile = a\nlogfile = b\npidfile =\n',
    );
    assert.deepEqual(options, { useSyslog: false, interface: 'eth1', logFile: 'b', pidFile: '' });
    assert.deepEqual(doors, []);
  });

  test('and cut the interface name at 31 bytes', () => {
    assert.equal(load(`[options]\ninterface = ${'i'.repeat(60)}\n`).interface, 'i'.repeat(31));
  });

  test('and leave Interface alone under -i', () => {
    const result = parseKnockdConf('[options]\ninterface = lo\n', { file: 'k', readFile: noFile, interface: 'eth0' });
    assert.ok(result.ok);
    assert.deepEqual(result.config, { useSyslog: false, doors: [] });
    assert.deepEqual(result.trace, ["config: new section: 'options'"]);
  });
});

describe('parseKnockdConf() refuses', () => {
  test('what knockd also logs, in the words of its log', () => {
    const logged = (value: string) => parse(`[A]\nsequence = ${value}\n`).logged;
    assert.deepEqual(logged('1:icmp'), ['error: section A: unknown protocol in knock sequence']);
    assert.deepEqual(logged('1,'.repeat(33)), ['error: section A: too many ports in knock sequence']);
    assert.deepEqual(logged('70000'), []);
  });

  test('a one-time file without a line left, with the words knockd stops at', () => {
    const result = parse('[A]\none_time_sequences = s\n', { s: '#000\n' });
    assert.ok(!result.ok);
    const words = 'no more sequences left in the one time sequences file for door A --> disabling the door';
    assert.equal(result.knockdError, words);
    assert.deepEqual(result.logged, [words]);
  });

  test('a target that libpcap cannot read, after the whole configuration', () => {
    const result = parse('[A]\nsequence = 1\ntarget = a b\ncommand = x\n[B]\nsequence = 2\ntarget =\n');
    assert.ok(!result.ok);
    assert.equal(result.knockdError, "pcap_compile: unknown host 'a'");
    assert.equal(result.stoppedAt, 'filter');
    assert.deepEqual(result.stderr, [result.knockdError]);
    assert.equal(result.unusable?.doors[0]?.targetText, 'a b');
  });

  test('nothing for a target that a later one replaces', () => {
    assert.ok(parse('[A]\nsequence = 1\ntarget = a b\ntarget = 192.0.2.1\n').ok);
  });
});
