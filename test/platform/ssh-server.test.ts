import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { configuredPorts, isServer, sshPorts } from '../../src/platform/ssh-server.ts';

test('the ports that a process named sshd listens on are found, those at loopback addresses are not', {
  skip: (process.platform !== 'linux' || process.geteuid?.() !== 0) && 'needs Linux, and root to look at all processes',
}, async () => {
  const program = `process.title = 'sshd'; const { createServer } = require('net');
    const open = createServer().listen(0, '0.0.0.0', () => {
      const forwarded = createServer().listen(0, '127.0.0.1', () =>
        console.log([open, forwarded].map((server) => server.address().port).join()));
    });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [printed] = (await once(child.stdout, 'data')) as [Buffer];
    const [open = 0, forwarded = 0] = String(printed).trim().split(',').map(Number);
    const found = await sshPorts();
    assert.equal(found?.by, 'listener');
    assert.ok(found.ports.includes(open));
    assert.ok(!found.ports.includes(forwarded));
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});

test('a server is told from the processes of its sessions', () => {
  for (const [command, title, expected] of [
    ['sshd', '/usr/sbin/sshd\0-D\0', true],
    ['sshd', 'sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\0', true],
    ['sshd', 'sshd: alice@pts/0\0', false],
    ['sshd-session', 'sshd-session: alice@pts/0\0', false],
    ['dropbear', '/usr/sbin/dropbear\0-F\0', true],
    ['nginx', 'nginx: master process\0', false],
  ] as const) {
    assert.equal(isServer(command, title), expected, title);
  }
});

test('what sshd prints of its configuration has its ports', () => {
  assert.deepEqual(configuredPorts('port 2222\nport 22\naddressfamily any\nlistenaddress 0.0.0.0:22\n'), [22, 2222]);
  assert.deepEqual(configuredPorts(''), []);
});
