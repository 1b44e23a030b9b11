import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions } from '../../src/cli/knockd-options.ts';
import { interfaceTextOf, splitInterfaces } from '../../src/cli/knockd-settings.ts';
import { parseKnockdConf } from '../../src/config/knockd-conf.ts';

function interfaceOf(argv: readonly string[], line = ''): string {
  const text = `[options]\n ${line}\n[A]\n sequence = 7000,8000\n command = true\n`;
  const result = parseKnockdConf(new TextEncoder().encode(text), { file: 'c', readFile: () => new Uint8Array() });
  const invocation = readOptions(argv, 'knockd', 'linux');
  assert.ok(result.ok && 'run' in invocation);
  return interfaceTextOf(invocation.run, result.config);
}

test('The file names the interface before the command line, and an empty name is none', () => {
  assert.equal(interfaceOf([]), 'eth0');
  assert.equal(interfaceOf(['-i', '']), 'eth0');
  assert.equal(interfaceOf(['-i', 'wg0']), 'wg0');
  assert.equal(interfaceOf(['-i', 'wg0'], 'Interface = ppp0'), 'ppp0');
  assert.equal(interfaceOf(['-i', 'wg0'], 'Interface ='), 'wg0');
  assert.equal(interfaceOf(['-i', 'wg0', '-i', 'ppp0']), 'wg0,ppp0');
});

test('Several interfaces are each taken once, and `any` has all the others in it', () => {
  assert.deepEqual(splitInterfaces('eth0'), ['eth0']);
  assert.deepEqual(splitInterfaces('eth0, wg0,,eth0'), ['eth0', 'wg0']);
  for (const text of ['any,eth0', 'eth0,any', 'any,any']) assert.deepEqual(splitInterfaces(text), ['any']);
  assert.deepEqual(splitInterfaces(','), []);
});
