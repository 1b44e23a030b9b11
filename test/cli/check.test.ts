/** `postern check` and `postern import`, as a person runs them. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const directory = mkdtempSync(join(tmpdir(), 'postern-check-'));
after(() => rmSync(directory, { recursive: true }));

const program = JSON.stringify(new URL('../../src/cli/postern.ts', import.meta.url).href);
const script = `import { main } from ${program}; process.exitCode = await main(process.argv.slice(1));`;

function postern(...argv: readonly string[]): {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
} {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, '--', ...argv], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  return { status, stdout, stderr };
}

function write(name: string, text: string): string {
  writeFileSync(join(directory, name), text, { mode: 0o600 });
  return name;
}

const GOOD = '[door.ssh]\nprotect = ["tcp/22"]\n[door.ssh.knock]\nsteps = ["tcp/3007", "udp/1", "tcp/3005"]\n';
const DOUBTFUL = '[door.ssh]\nprotect = ["tcp/22"]\n';
const KNOCKD = `[ssh]
sequence = 7000,9000,8000
tcpflags = syn
start_command = iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT
stop_command = iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT
`;

test('postern check takes a good postern.toml', () => {
  assert.deepEqual(postern('check', write('good.toml', GOOD)), {
    status: 0,
    stdout: 'good.toml: ok: 1 door\n',
    stderr: '',
  });
});

test('postern check knows a postern.toml of another name by its doors', () => {
  assert.equal(postern('check', write('good.conf', GOOD)).stdout, 'good.conf: ok: 1 door\n');
});

test('postern check takes a knockd.conf as before', () => {
  assert.deepEqual(postern('check', write('knockd.conf', KNOCKD)), {
    status: 0,
    stdout: 'knockd.conf: ok: 1 door\n',
    stderr: '',
  });
});

test('postern check looks at the file of --config', () => {
  assert.equal(postern('--config', write('good.toml', GOOD), 'check').stdout, 'good.toml: ok: 1 door\n');
});

test('postern check names every problem with file, line and hint, and fails', () => {
  const file = write('bad.toml', '[door.ssh]\nprotect = [22]\nopen_for = 30\n');
  assert.deepEqual(postern('check', file), {
    status: 1,
    stdout: '',
    stderr:
      'bad.toml:2: Cannot use the value 22 for protect\nhint: Write "tcp/22", or "udp" in place of "tcp"\n' +
      'bad.toml:3: Cannot use the value 30 for open_for\nhint: Add a unit: "30s" is seconds, "ms", "m", "h" and "d" are there too\n',
  });
});

test('postern check lets warnings pass, but not with --strict', () => {
  const file = write('doubtful.toml', DOUBTFUL);
  const lenient = postern('check', file);
  assert.equal(lenient.status, 0);
  assert.equal(lenient.stdout, 'doubtful.toml: ok: 1 door, 1 warning\n');
  assert.match(lenient.stderr, /^doubtful\.toml:1: warning: The door "ssh" closes tcp\/22 and has no knock/);
  const strict = postern('check', '--strict', file);
  assert.equal(strict.status, 1);
  assert.match(strict.stderr, /doubtful\.toml: refused because of its warnings \(--strict\)\n$/);
});

test('postern check warns of a file that everybody can read', () => {
  const file = write('open.toml', GOOD);
  chmodSync(join(directory, file), 0o644);
  assert.deepEqual(postern('check', file), {
    status: 0,
    stdout: 'open.toml: ok: 1 door, 1 warning\n',
    stderr:
      'open.toml: warning: Everybody on this machine can read it, and with it the knocks\nhint: Run chmod 600 open.toml\n',
  });
  assert.equal(postern('check', '--strict', file).status, 1);
});

test('postern check warns of a state that posternd would not use', () => {
  const dir = join(directory, 'state');
  mkdirSync(dir);
  chmodSync(dir, 0o777);
  const file = write('state.toml', `[state]\ndir = "state"\n${GOOD}`);
  const { status, stderr } = postern('check', file);
  assert.equal(status, 0);
  assert.equal(
    stderr,
    `state.toml: warning: ${dir} can be written by others, so that the state in it is not used: grants and history are kept in memory\nhint: Make it root's (chown root, chmod go-w)\n`,
  );
  chmodSync(dir, 0o775);
  assert.equal(postern('check', file).stderr, '', 'the start puts it right');
});

test('postern says and returns that nobody got what it wrote; a reader that went away is none of that', () => {
  const file = write('full.toml', GOOD);
  const knockd = write('full.conf', KNOCKD);
  for (const argv of [['check', file], ['import', knockd], ['completion', 'bash'], ['--help'], ['--version']]) {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, '--', ...argv], {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', full, 'pipe'],
    });
    closeSync(full);
    assert.equal(status, 1, argv.join(' '));
    assert.match(stderr, /postern: Cannot write to the standard output: No space left on device\n$/);
  }
  const node = `"${process.execPath}" --input-type=module -e "$SCRIPT" -- completion bash`;
  const { stderr, stdout } = spawnSync('/bin/sh', ['-c', `{ sleep 0.2; ${node}; echo "ended with $?" >&2; } | true`], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, SCRIPT: script },
  });
  assert.deepEqual([stdout, stderr], ['', 'ended with 0\n']);
});

test('postern check --json prints the problems as one list', () => {
  const { stdout } = postern('check', '--json', write('doubtful.toml', DOUBTFUL));
  const [problem] = JSON.parse(stdout) as Record<string, unknown>[];
  assert.equal(problem?.line, 1);
  assert.equal(problem?.severity, 'warning');
});

test('postern check says every problem of a knockd.conf once, and what interface is not there', () => {
  const broken = write('flag.conf', KNOCKD.replace('tcpflags = syn', 'tcpflags = syn,bogus'));
  const { status, stderr } = postern('check', broken);
  assert.deepEqual([status, stderr.match(/bogus/gi)?.length], [1, 1]);
  assert.match(stderr, /^flag\.conf:3: Cannot use the TCP flag "BOGUS"\nhint: /);
  const elsewhere = write('elsewhere.conf', `[options]\nInterface = nosuch7\n${KNOCKD}`);
  const { stdout, stderr: doubts } = postern('check', elsewhere);
  assert.equal(stdout, 'elsewhere.conf: ok: 1 door, 1 warning\n');
  assert.match(
    doubts,
    /^elsewhere\.conf: warning: There is no interface "nosuch7".*\nhint: The interfaces here are .*\blo\b/,
  );
});

test('postern check refuses what posternd would refuse, with the line', () => {
  const kernel = write('kernel.toml', GOOD.replace('protect', 'engine = "kernel"\nprotect'));
  const driver = write('driver.toml', `${GOOD}[firewall]\ndriver = "ipfw"\n`);
  for (const [file, about] of [
    [kernel, /^kernel\.toml:2: Cannot have the kernel recognize knocks/],
    [driver, /^driver\.toml:6: Cannot use the driver "ipfw"/],
  ] as const) {
    const { status, stdout, stderr } = postern('check', file);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, about);
  }
});

test('postern filter shows a knockd.conf its filter, and says in one sentence that it does not know a postern.toml', () => {
  const shown = postern('filter', '-i', 'lo', write('knockd.conf', KNOCKD));
  assert.deepEqual([shown.status, shown.stderr], [0, '']);
  assert.match(shown.stdout, /^\(000\) /);
  assert.deepEqual(postern('filter', write('good.toml', GOOD)), {
    status: 1,
    stdout: '',
    stderr: 'postern: good.toml is a postern.toml: this command shows the filter of a knockd.conf only\n',
  });
});

test('postern check says when there is no file', () => {
  assert.deepEqual(postern('check', 'none.toml'), {
    status: 1,
    stdout: '',
    stderr: 'none.toml: No such file or directory\nhint: Write a first one: postern --config none.toml init\n',
  });
});

test('postern import writes a file that postern check takes, for nobody else to read', () => {
  const file = write('knockd.conf', KNOCKD);
  const written = postern('import', file, '--output', 'new.toml');
  assert.equal(written.status, 0);
  assert.match(written.stderr, /^knockd\.conf: These doors close their ports themselves/);
  assert.equal(statSync(join(directory, 'new.toml')).mode & 0o777, 0o600);
  assert.equal(postern('check', 'new.toml').stdout, 'new.toml: ok: 1 door\n');
  const printed = postern('import', file);
  assert.equal(printed.stdout, readFileSync(join(directory, 'new.toml'), 'utf8'));
});

test('postern import leaves a file alone that is there', () => {
  write('there.toml', 'mine\n');
  const { status, stderr } = postern('import', write('knockd.conf', KNOCKD), '-o', 'there.toml');
  assert.equal(status, 1);
  assert.match(stderr, /^there\.toml: File .*exists\n$/);
  assert.equal(readFileSync(join(directory, 'there.toml'), 'utf8'), 'mine\n');
});

test('postern import refuses what knockd would refuse', () => {
  const { status, stdout } = postern('import', write('broken.conf', '[ssh]\nsequence = 70000\n'));
  assert.equal(status, 1);
  assert.equal(stdout, '');
});
