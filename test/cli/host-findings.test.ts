/** When this host's firewall is looked at again, and how what was found is told. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostFindings } from '../../src/cli/host-findings.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { REFUSING } from '../../src/firewall/answers.ts';
import type { Faced } from '../../src/firewall/closed-port.ts';
import type { HostListing } from '../../src/firewall/host-listing.ts';
import type { Finding } from '../../src/firewall/preflight.ts';
import { judgeAnswers } from '../../src/firewall/unused-ports.ts';
import { ManualClock } from '../support/manual-clock.ts';

const REFUSED: Finding = { severity: 'error', message: 'Port tcp/22 is refused', hint: 'ufw allow 22/tcp # once' };
const ACCEPTS = listing('ACCEPT');
const DROPS = listing('DROP');

/** A host with this policy for what comes in. */
function listing(policy: string): HostListing {
  return { iptables: [{ version: 4, source: 'iptables', text: `*filter\n:INPUT ${policy} [0:0]\nCOMMIT\n` }] };
}

/** Another object each time, as every reload makes one. */
function refusing(): Faced {
  return { face: 'auto', closed: { 4: REFUSING, 6: REFUSING } };
}

const LED: Finding = { severity: 'note', message: 'Port tcp/80 is led elsewhere', hint: 'look there' };

function scene() {
  const clock = new ManualClock();
  const parsed = parsePosternToml('[firewall]\ndriver = "iptables"\n[door.ssh]\nprotect = ["tcp/22"]\n', {
    file: 'p.toml',
  });
  assert.ok(parsed.ok);
  const host: {
    findings: readonly Finding[];
    listing: HostListing;
    made: Faced;
    stuck: boolean;
    looks: (string | undefined)[];
  } = {
    findings: [REFUSED, LED],
    listing: ACCEPTS,
    made: refusing(),
    stuck: false,
    looks: [],
  };
  const findings = new HostFindings({
    made: () => host.made,
    list: async () => host.listing,
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

const told = (lines: readonly string[]): readonly string[] =>
  lines.map((line) => line.replace(/: over IPv4 .*\n/, '\n'));
const STALE =
  'What this host answers at unused ports is not what closed ports answer, so a scan sees which are guarded\nhint: postern reload';

test('a host whose rules were changed since the guard was made is told of, until a guard is made anew', async () => {
  const { clock, config, findings, host } = scene();
  host.findings = [];
  await findings.lookUp(config, 'auto');
  host.listing = DROPS;
  clock.advance(30_001);
  assert.deepEqual(told(await findings.lines()), [STALE]);
  // The look that comes with a reload may take its time: what was found of the old guard is not said of the new one.
  host.made = { face: 'auto', closed: judgeAnswers(DROPS)! };
  host.stuck = true;
  void findings.lookUp(config, 'auto');
  assert.deepEqual(await findings.lines(), []);
  host.stuck = false;
  await findings.lookUp(config, 'auto');
  assert.deepEqual(await findings.lines(), []);
});

test('a host that has its old rules again is in order after the short time', async () => {
  const { clock, config, findings, host } = scene();
  host.findings = [];
  host.listing = DROPS;
  assert.equal((await findings.lookUp(config, 'auto')).length, 1);
  host.listing = ACCEPTS;
  clock.advance(5000);
  assert.deepEqual(told(await findings.lines()), [STALE]);
  clock.advance(1);
  assert.deepEqual(await findings.lines(), []);
});

test('a guard that was made while the rules were read is not judged by them', async () => {
  const { config, findings, host } = scene();
  host.findings = [];
  host.listing = DROPS;
  const looked = findings.lookUp(config, 'auto');
  host.made = refusing();
  await looked;
  assert.deepEqual(await findings.lines(), []);
});

test('in mode observe nothing is closed, and nothing is said of closed ports', async () => {
  const { config, findings, host } = scene();
  host.findings = [];
  host.listing = DROPS;
  assert.deepEqual(await findings.lookUp({ ...config, mode: 'observe' }, 'auto'), []);
});
