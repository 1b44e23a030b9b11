/** Which labels the kernel gives its resets by its settings, and when the guard gives ours any. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSING, SILENT } from '../../src/firewall/answers.ts';
import type { Guard } from '../../src/firewall/driver.ts';
import { labelsAsSet } from '../../src/firewall/flow-labels.ts';
import { guardRules } from '../../src/firewall/nft-rules.ts';
import { doorPolicy, guardOf } from '../support/firewall-contract.ts';

test('the settings of the kernel are followed; what cannot be read is as it usually is', () => {
  const as = (settings: Readonly<Record<string, number>>) => labelsAsSet((name) => settings[name]);
  assert.deepEqual(as({}), { upperHalf: false });
  for (const [auto, labelled] of [
    [0, false],
    [1, true],
    [2, false],
    [3, true],
  ] as const)
    assert.equal(as({ auto_flowlabels: auto }) !== undefined, labelled, `${auto}`);
  assert.deepEqual(as({ flowlabel_state_ranges: 1 }), { upperHalf: true });
  assert.deepEqual([as({ flowlabel_reflect: 2 }), as({ flowlabel_reflect: 7 })], [undefined, undefined]);
  assert.deepEqual(as({ flowlabel_reflect: 5 }), { upperHalf: false });
});

test('a guard has labels where the kernel of this host would reset by itself over IPv6, and nowhere else', () => {
  const labels = { upperHalf: false };
  const has = (rest: Partial<Guard>, ports = ['tcp/22']): boolean =>
    guardRules(guardOf([doorPolicy('ssh', ports)], { labels, ...rest })).includes('chain labels {');
  const { own: _, ...byRule } = REFUSING;
  assert.equal(has({ face: 'auto', closed: { 4: SILENT, 6: REFUSING } }), true);
  assert.equal(has({ face: 'reset' }), true);
  assert.equal(has({ face: 'auto', closed: { 4: REFUSING, 6: byRule } }), false);
  assert.equal(has({ face: 'auto', closed: { 4: REFUSING, 6: SILENT } }), false);
  assert.equal(has({ face: 'drop' }), false);
  assert.equal(has({ face: 'reset' }, ['udp/53']), false);
  assert.equal(has({ face: 'reset', observe: true }), false);
  const standing = { chains: ['labels'], sets: [] };
  const gone = guardRules(guardOf([doorPolicy('ssh', ['tcp/22'])], { face: 'drop' }), [], standing);
  assert.match(gone, /^delete chain inet postern labels$/m);
});
