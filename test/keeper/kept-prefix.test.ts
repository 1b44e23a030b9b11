import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { keepPrefix, withKeptPrefix } from '../../src/keeper/kept-prefix.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { FACTS } from '../../src/store/rows.ts';

function configWith(prefix: number) {
  const text = `[firewall]\nipv6_prefix = ${prefix}\n[door.ssh]\nprotect = ["tcp/22"]\n`;
  const result = parsePosternToml(new TextEncoder().encode(text), { file: 'postern.toml', directory: '/etc/postern' });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

test('the length that stands is the one that was kept last; a state without one, or with nonsense, says nothing', () => {
  const facts = openMemoryRows(FACTS);
  const config = configWith(56);
  assert.equal(withKeptPrefix(facts, config), config);
  keepPrefix(facts, configWith(64));
  assert.equal(withKeptPrefix(facts, config).firewall.ipv6Prefix, 64);
  assert.equal(config.firewall.ipv6Prefix, 56);
  keepPrefix(facts, config);
  assert.equal(withKeptPrefix(facts, config), config);
  for (const value of ['129', '0', '6.5', 'x', '']) {
    facts.put({ name: 'ipv6_prefix', value });
    assert.equal(withKeptPrefix(facts, config), config, value);
  }
});
