/** README.md says what is so: its links lead somewhere, its configurations are taken, its commands answer as shown. `npm run demo` has a test of its own. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'postern-readme-'));
after(() => rmSync(folder, { recursive: true }));

const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The sample configuration of Debian's knockd 0.8. */
const DEBIAN = `[options]
	UseSyslog

[openSSH]
	sequence    = 7000,8000,9000
	seq_timeout = 5
	command     = /sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT
	tcpflags    = syn

[closeSSH]
	sequence    = 9000,8000,7000
	seq_timeout = 5
	command     = /sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT
	tcpflags    = syn

[openHTTPS]
	sequence    = 12345,54321,24680,13579
	seq_timeout = 5
	command     = /usr/local/sbin/knock_add -i -c INPUT -p tcp -d 443 -f %IP%
	tcpflags    = syn
`;

function blocks(language: string): readonly string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1]!);
}

function run(program: string, argv: readonly string[]) {
  return spawnSync(process.execPath, [join(root, 'bin', program), ...argv], { encoding: 'utf8', cwd: folder });
}

for (const page of ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md']) {
  test(`${page} links to what there is`, () => {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
    const missing = links.filter((link) => !/^https?:/.test(link) && !existsSync(join(root, dirname(page), link)));
    assert.deepEqual(missing, []);
  });
}

test('`postern check` says of the sample configuration what the README shows', () => {
  const file = join(folder, 'knockd.conf');
  writeFileSync(file, DEBIAN, { mode: 0o640 });
  const shown = blocks('console').find((block) => block.includes('postern check /etc/knockd.conf'))!;
  const { stdout, stderr, status } = run('postern', ['check', file]);
  assert.deepEqual(
    { stdout, stderr, status },
    { stdout: shown.split('\n').slice(1).join('\n').replace('/etc/knockd.conf', file), stderr: '', status: 0 },
  );
});

test('the postern.toml of the README is taken without a doubt', () => {
  for (const block of blocks('toml')) {
    const file = join(folder, 'postern.toml');
    writeFileSync(file, block, { mode: 0o600 });
    const { stdout, stderr, status } = run('postern', ['check', '--strict', file]);
    assert.deepEqual({ stdout, stderr, status }, { stdout: `${file}: ok: 1 door\n`, stderr: '', status: 0 });
  }
});

test('every program the README names is there and answers', () => {
  const named = new Set([...readme.matchAll(/\bbin\/([a-z]+)/g)].map((match) => match[1]!));
  assert.ok(named.size >= 3, relative(root, folder));
  for (const program of named) {
    const { status, stdout, stderr } = run(program, [
      program === 'postern' || program === 'posternd' ? '--version' : '-V',
    ]);
    assert.equal(status, 0, stderr);
    assert.notEqual(stdout, '');
  }
});

test('every npm script the README names is in package.json', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const named = [...readme.matchAll(/npm (?:run )?(demo|test|bench)\b/g)].map((match) => match[1]!);
  assert.ok(named.includes('demo') && named.includes('test'));
  for (const name of named) assert.ok(scripts[name], name);
});
