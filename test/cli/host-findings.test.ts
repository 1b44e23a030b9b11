/** When this host's firewall is looked at again, and how what was found is told. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostFindings } from '../../src/cli/host-findings.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import type { Finding } from '../../src/firewall/preflight.ts';
import { ManualClock } from '../support/manual-clock.ts';

const REFUSED: Finding = { severity: 'error', message: 'Port tcp/22 is refused', hint: 'ufw allow 22/tcp # once' };
const LED: Finding = { severity: 'note', message: 'Port tcp/80 is led elsewhere', hint: 'look there' };

function scene() {
  const clock = new ManualClock();
  const parsed = parsePosternToml('[firewall]\ndriver = "iptables"\n[door.ssh]\nprotect = ["tcp/22"]\n', {
    file: 'p.toml',
  });
  assert.ok(parsed.ok);
  const host: { findings: readonly Finding[]; stuck: boolean; looks: (string | undefined)[] } = {
    findings: [REFUSED, LED],
    stuck: false,
    looks: [],
  };
  const findings = new HostFindings({
    monotonicNow: clock.monotonicNow,
    after: clock.after,
    look: async (_, __, driver) => {
      host.looks.push(driver);
      if (host.stuck) await new Promise(() => {});
      return [...host.findings];
    },
  });
  return { clock, config: parsed.config, findings, host };
}

test('a finding is told with a hint to be copied, without the notes, until it is mended', async () => {
  const { clock, config, findings, host } = scene();
  assert.deepEqual(await findings.lines(), []);
  assert.deepEqual(await findings.lookUp(config, 'drop'), [REFUSED, LED]);
  assert.deepEqual(await findings.lines(), ['Port tcp/22 is refused\nhint: ufw allow 22/tcp # once']);
  host.findings = [LED];
  clock.advance(5001);
  assert.deepEqual(await findings.lines(), []);
  assert.deepEqual(host.looks, ['iptables', 'iptables']);
});

test('where all was well, half a minute passes before somebody who asks has it looked at again', async () => {
  const { clock, config, findings, host } = scene();
  host.findings = [];
  await findings.lookUp(config, 'drop');
  host.findings = [REFUSED];
  clock.advance(30_000);
  assert.deepEqual(await findings.lines(), []);
  clock.advance(1);
  assert.equal((await findings.lines()).length, 1);
});

test('a firewall that does not answer keeps nobody waiting: what was known is told', async () => {
  const { clock, config, findings, host } = scene();
  await findings.lookUp(config, 'drop');
  host.stuck = true;
  clock.advance(5001);
  const asked = findings.lines();
  clock.advance(2000);
  assert.equal((await asked).length, 1);
  assert.equal((await findings.lines()).length, 1);
  assert.equal(host.looks.length, 2);
});
