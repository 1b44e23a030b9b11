import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callersSession, parseConnection } from '../../src/cli/ssh-session.ts';
import { printAddress } from '../../src/core/address.ts';

test('SSH_CONNECTION names both ends, of either family', () => {
  const four = parseConnection('192.0.2.7 50123 198.51.100.2 22');
  assert.ok(four);
  assert.deepEqual(
    [printAddress(four.source), four.sourcePort, four.server, four.port],
    ['192.0.2.7', 50_123, '198.51.100.2', 22],
  );
  assert.equal(printAddress(parseConnection('fe80::1%eth0 50123 fe80::2%eth0 2222')!.source), 'fe80::1');
  for (const text of ['', 'x', '192.0.2.7 50123', '192.0.2.7 x 198.51.100.2 22', 'host 1 host 2']) {
    assert.equal(parseConnection(text), undefined, text);
  }
});

test('what this process was told comes before what those above it were', () => {
  const session = callersSession({ SSH_CONNECTION: '192.0.2.7 1 198.51.100.2 22' });
  assert.equal(session?.sourcePort, 1);
});
