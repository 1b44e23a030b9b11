import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printAddress } from '../../src/core/address.ts';
import { parseNetstat } from '../../src/firewall/netstat.ts';

/** As FreeBSD, OpenBSD and macOS print them. */
const TEXT = `Active Internet connections (including servers)
Proto Recv-Q Send-Q Local Address          Foreign Address        (state)
tcp4       0      0 192.0.2.1.22           198.51.100.7.51234     ESTABLISHED
tcp          0      0  192.0.2.1.22         198.51.100.8.51234    FIN_WAIT_2
tcp6       0      0 2001:db8::1.22         2001:db8:9::7.4444     CLOSE_WAIT
tcp6       0      0 fe80::1%em0.22         fe80::2%em0.5          ESTABLISHED
tcp4       0      0 192.0.2.1.22           198.51.100.9.51234     TIME_WAIT
tcp4       0      0 *.22                   *.*                    LISTEN
udp4       0      0 *.53                   *.*
`;

test('`parseNetstat()` reads sessions, and not listeners or what is over', () => {
  assert.deepEqual(
    parseNetstat(TEXT).map(({ source, sourcePort, port }) => [printAddress(source), sourcePort, port]),
    [
      ['198.51.100.7', 51234, 22],
      ['198.51.100.8', 51234, 22],
      ['2001:db8:9::7', 4444, 22],
      ['fe80::2', 5, 22],
    ],
  );
});

test('`parseNetstat()` reads any part and any text without throwing', () => {
  for (let length = 0; length <= TEXT.length; length += 1) assert.ok(parseNetstat(TEXT.slice(0, length)).length <= 4);
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(...TEXT.split('\n')))), (lines) => {
      for (const { port } of parseNetstat(lines.join('\n'))) assert.ok(port >= 0 && port <= 65_535);
    }),
  );
});
