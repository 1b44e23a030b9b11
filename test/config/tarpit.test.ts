import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { tarpitPort } from '../../src/config/postern-config.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';

const DOOR = `[door.ssh]
protect = ["tcp/22"]
[door.ssh.knock]
steps = ["tcp/7000", "udp/8000", "tcp/9000"]
`;

function load(text: string) {
  const result = parsePosternToml(text, { file: 'p.toml' });
  assert.ok(result.ok, JSON.stringify(result.problems));
  return result;
}

/** `line: message` of every problem; each has a hint. */
function problems(text: string): string[] {
  return parsePosternToml(text, { file: 'p.toml' }).problems.map(({ line, severity, message, hint }) => {
    assert.notEqual(hint, '');
    return `${line}: ${severity}: ${message}`;
  });
}

describe('[tarpit]', () => {
  test('is off without the section, on with it, and has defaults', () => {
    assert.equal(load(DOOR).config.tarpit, undefined);
    const { config } = load(`[tarpit]\n${DOOR}`);
    assert.deepEqual(config.tarpit, {
      port: 22_022,
      connections: 256,
      perSource: 8,
      every: 10_000,
      duration: 3_600_000,
    });
    assert.equal(tarpitPort(config), 22_022);
  });

  test('says all that can be said', () => {
    const section = '[tarpit]\nport = 2222\nconnections = 4096\nper_source = 2\nevery = "500ms"\nfor = "1d"\n';
    assert.deepEqual(load(section + DOOR).config.tarpit, {
      port: 2222,
      connections: 4096,
      perSource: 2,
      every: 500,
      duration: 86_400_000,
    });
  });

  test('holds nobody while the daemon observes, which is told', () => {
    const { config, problems: told } = load(`mode = "observe"\n[tarpit]\n${DOOR}`);
    assert.equal(tarpitPort(config), undefined);
    assert.match(told[0]?.message ?? '', /^Nobody is held in the tarpit: in mode "observe"/);
  });

  test('is named with what it has not, as any section', () => {
    assert.deepEqual(problems(`[tarpit]\nprot = 1\nevery = "1ms"\nconnections = 4097\n${DOOR}`), [
      '2: error: Cannot use the key "prot" in [tarpit]',
      '3: error: Cannot use a duration of 1ms: it is too short',
      '4: error: Cannot use the value 4097 for connections',
    ]);
    assert.match(problems(`[tarpit]\nport = 22\n${DOOR}`)[0] ?? '', /^2: error: Cannot use the value 22 for port/);
  });

  test('has its port to itself', () => {
    const about = (use: string): string => `error: The tarpit cannot have the port 7000: it is ${use}`;
    const section = '[tarpit]\nport = 7000\n';
    assert.deepEqual(problems(section + DOOR), [`2: ${about('a step of the door "ssh" ("tcp/7000")')}`]);
    const other = DOOR.replaceAll('7000', '7001');
    const door = other.replace('"tcp/22"', '"tcp/22", "tcp/6990-7010"');
    assert.equal(problems(section + door)[0], `2: ${about('behind the door "ssh" ("tcp/6990-7010")')}`);
    assert.deepEqual(problems(`trap = ["tcp/7000"]\n${section}${other}`), [`3: ${about('a trap ("tcp/7000")')}`]);
    assert.deepEqual(problems(`${section}[public]\nports = ["tcp/7000"]\n${other}`), [
      `2: ${about('a public port ("tcp/7000")')}`,
    ]);
    assert.deepEqual(problems(section + DOOR.replace('tcp/7000', 'udp/7000')), []);
  });

  test('is doubted at a port that an outgoing connection may have', () => {
    const localPorts = { first: 32_768, last: 60_999, reserved: [50_001] };
    const doubts = (port: number): number =>
      parsePosternToml(`[tarpit]\nport = ${port}\n${DOOR}`, { file: 'p.toml', surroundings: { localPorts } }).problems
        .length;
    assert.deepEqual([22_022, 50_000, 50_001].map(doubts), [0, 1, 0]);
  });

  for (const driver of ['pf', 'ipfw', 'command']) {
    test(`is refused with the driver ${driver}, which cannot lead anybody there`, () => {
      const command = driver === 'command' ? 'command = ["/bin/fw"]\n' : '';
      assert.deepEqual(problems(`[firewall]\ndriver = "${driver}"\n${command}[tarpit]\n${DOOR}`), [
        `${driver === 'command' ? 4 : 3}: error: The driver "${driver}" cannot hold banned sources in a tarpit`,
      ]);
    });
  }

  test('is doubted when nobody would get a line, or one source everything', () => {
    assert.deepEqual(problems(`[tarpit]\nevery = "10s"\nfor = "5s"\nconnections = 4\n${DOOR}`), [
      '1: warning: One source may have all 4 connections of the tarpit',
      '3: warning: A connection is held for 5s and gets a line every 10s: none',
    ]);
    assert.deepEqual(problems(`[firewall]\ndriver = "iptables"\n[tarpit]\n${DOOR}`), []);
  });
});
