/** What a configuration asks for that this host does not have. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import type { Surroundings } from '../../src/config/surroundings-lint.ts';

const FILE = `[capture]
interfaces = ["eth0", "wg7"]
[firewall]
driver = "pf"
[door.web]
protect = ["tcp/80"]
on_open = ["/usr/local/bin/tell", "open"]
on_close = ["/usr/bin/logger", "closed"]
`;

function problems(text: string, surroundings: Surroundings): string[] {
  return parsePosternToml(text, { file: 'p.toml', surroundings }).problems.map(
    ({ severity, line, message, hint }) => `${line}: ${severity}: ${message} (${hint})`,
  );
}

test('a firewall that this system cannot have is an error; interfaces and programs that are missing are warnings', () => {
  const canRun = (program: string): boolean => program === '/usr/bin/logger';
  assert.deepEqual(problems(FILE, { drivers: ['nftables', 'iptables'], interfaces: ['lo', 'eth0'], canRun }), [
    '2: warning: There is no interface "wg7": the daemon does not start before it is there (The interfaces here are lo, eth0)',
    '4: error: Cannot use the driver "pf": this system has no such firewall (Write one of "nftables", "iptables", or leave driver out)',
    '7: warning: The program "/usr/local/bin/tell" is not there, or must not be run (Correct its path, or make it executable (chmod +x))',
  ]);
});

test('a program that is the firewall is looked for as well', () => {
  const text =
    '[firewall]\ndriver = "command"\ncommand = ["/usr/local/sbin/firewall"]\n[door.web]\nprotect = ["tcp/80"]\n';
  assert.deepEqual(problems(text, { canRun: () => false }), [
    '3: warning: The program "/usr/local/sbin/firewall" is not there, or must not be run (Correct its path, or make it executable (chmod +x))',
  ]);
});

test('what is not known of the host is not judged', () => {
  assert.deepEqual(problems(FILE, {}), []);
  assert.deepEqual(problems(FILE.replace('"eth0", "wg7"', '"any"'), { interfaces: ['lo'] }), []);
});
