/**
 *     server eth0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 eth0 client
 *            eth1 10.77.2.1 ──────────────── 10.77.2.2 eth0 stranger
 *
 * The harness itself: packets cross, and nothing is left behind however its process ends.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, unavailable } from '../support/netns.ts';
import { Running } from '../support/running.ts';

const skip = unavailable();

const ECHO = `
const socket = require('node:dgram').createSocket(process.argv[1]);
socket.on('message', (data, from) => socket.send(data, from.port, from.address));
socket.bind(7, () => console.log('ready'));
`;

const ASK = `
const [, type, address] = process.argv;
const socket = require('node:dgram').createSocket(type);
socket.on('message', (data, from) => { console.log(String(data), from.address); socket.close(); });
socket.send('hello', 7, address);
`;

function namespaces(): string[] {
  return spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout.split('\n');
}

function ofProcess(pid: number): string[] {
  return namespaces().filter((name) => name.startsWith(`postern-${pid}-`));
}

test('`createTopology()` joins hosts with IPv4 and IPv6 that work at once', { skip }, async () => {
  await using topology = await createTopology({
    links: [
      ['server', 'client'],
      ['server', 'stranger'],
    ],
  });
  const { server, client, stranger } = topology.hosts;
  for (const [type, address] of [
    ['udp4', server.address4],
    ['udp6', server.address6],
  ] as const) {
    const echo = server.spawn([process.execPath, '-e', ECHO, type]);
    await echo.waitForLine(/^ready$/);
    const answer = await client.exec([process.execPath, '-e', ASK, type, address]);
    assert.equal(answer.stdout, `hello ${address}\n`);
    await echo.stop();
  }
  const echo = server.spawn([process.execPath, '-e', ECHO, 'udp4']);
  await echo.waitForLine(/^ready$/);
  const answer = await stranger.exec([process.execPath, '-e', ASK, 'udp4', server.interfaces[1]!.address4]);
  assert.equal(answer.stdout, 'hello 10.77.2.1\n');
});

test('`close()` removes the namespaces and the daemons that run in them', { skip }, async () => {
  const topology = await createTopology({ links: [['server', 'client']] });
  const { server } = topology.hosts;
  // Like a daemon: the process that was spawned ends, its child goes on in a session of its own.
  const starter = server.spawn(['sh', '-c', 'setsid sleep 300 >/dev/null 2>&1 & echo $!']);
  const pid = Number((await starter.ended).stdout);
  assert.equal(ofProcess(process.pid).length, 2);
  assert.equal(isRunning(pid), true);
  await topology.close();
  assert.deepEqual(ofProcess(process.pid), []);
  for (let tries = 0; isRunning(pid) && tries < 100; tries += 1) await sleep(10);
  assert.equal(isRunning(pid), false);
});

/** A zombie that nobody has collected yet does not run. */
function isRunning(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim();
  return state !== '' && !state.startsWith('Z');
}

test('`exec()` and `waitForLine()` say what a program wrote when it fails', { skip }, async () => {
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { server } = topology.hosts;
  const failing = ['sh', '-c', 'echo some words; echo a reason >&2; exit 3'];
  await assert.rejects(server.exec(failing), /ended with status 3:\n.*a reason/s);
  assert.equal((await server.exec(failing, { mayFail: true })).status, 3);
  await assert.rejects(server.spawn(failing).waitForLine(/never/), /ended without a line \/never\/:\n.*a reason/s);
  await assert.rejects(
    server.spawn(['sleep', '5']).waitForLine(/never/, 20),
    /wrote no line \/never\/ in 20 ms; it wrote nothing/,
  );
  await assert.rejects(server.exec(['sleep', '5'], { timeout: 20 }), /took longer than 20 ms/);
  assert.equal((await server.exec(['cat'], { input: 'words' })).stdout, 'words');
  await assert.rejects(server.exec(['no-such-program']), /no-such-program/);
});

const support = join(import.meta.dirname, '../support/netns.ts');
const MAKER = `
import { createTopology } from ${JSON.stringify(support)};
const topology = await createTopology({ links: [['server', 'client']] });
topology.hosts.server.spawn(['sleep', '300']);
if (process.argv[1] === 'throw') throw new Error('on purpose');
console.log('ready');
if (process.argv[1] === 'wait') setInterval(() => {}, 1000);
`;

function startMaker(mode: string): Running {
  return new Running([process.execPath, '--input-type=module', '-e', MAKER, mode]);
}

test('A topology goes with its process, however that ends but by SIGKILL', { skip }, async () => {
  for (const end of ['throw', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const maker = startMaker(end === 'throw' ? 'throw' : 'wait');
    if (end !== 'throw') {
      await maker.waitForLine(/^ready$/);
      assert.equal(ofProcess(maker.pid).length, 2);
      maker.kill(end);
    }
    const { status } = await maker.ended;
    assert.equal(status, { throw: 1, SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[end], maker.stderr);
    assert.deepEqual(ofProcess(maker.pid), [], end);
  }
});

test('The lock of a guard goes with its namespace', { skip }, async () => {
  const lock = join(import.meta.dirname, '../../src/keeper/guard-lock.ts');
  const state = join(import.meta.dirname, '../../src/keeper/state-lock.ts');
  const locking = `
import { guardLock } from ${JSON.stringify(lock)};
import { lockState } from ${JSON.stringify(state)};
lockState(guardLock(), 'daemon');
console.log(guardLock() + '.lock');`;
  const topology = await createTopology({ links: [['server', 'client']] });
  const { stdout } = await topology.hosts.server.exec([process.execPath, '--input-type=module', '-e', locking]);
  assert.ok(existsSync(stdout.trim()), stdout);
  await topology.close();
  assert.ok(!existsSync(stdout.trim()), stdout);
});

test('What a killed process left behind goes when the next one starts', { skip }, async () => {
  const killed = startMaker('wait');
  await killed.waitForLine(/^ready$/);
  await killed.stop('SIGKILL');
  assert.equal(ofProcess(killed.pid).length, 2);
  const next = startMaker('wait');
  await next.waitForLine(/^ready$/);
  assert.deepEqual(ofProcess(killed.pid), []);
  await next.stop();
});
