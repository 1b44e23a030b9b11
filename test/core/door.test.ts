import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACK, FIN, fitsFlags, isBareSyn, PSH, printSteps, RST, SYN, URG } from '../../src/core/door.ts';
import { steps } from '../support/knocks.ts';

test('The flags are the bits of the wire (RFC 9293)', () => {
  assert.deepEqual([FIN, SYN, RST, PSH, ACK, URG], [1, 2, 4, 8, 16, 32]);
});

test('`fitsFlags()` wants every bit of the one and none of the other', () => {
  for (let bits = 0; bits < 64; bits += 1) {
    assert.ok(fitsFlags({ set: 0, clear: 0 }, bits));
    assert.equal(fitsFlags({ set: SYN | PSH, clear: ACK | RST }, bits), (bits & 0x1e) === (SYN | PSH), `${bits}`);
  }
});

test('`isBareSyn()` is SYN without ACK, RST or FIN, whatever else is set', () => {
  for (let bits = 0; bits < 256; bits += 1) {
    const expected = (bits & SYN) !== 0 && (bits & ACK) === 0 && (bits & RST) === 0 && (bits & FIN) === 0;
    assert.equal(isBareSyn(bits), expected, `${bits}`);
  }
});

test('`printSteps()` writes the notation of knockd', () => {
  assert.equal(printSteps(steps('7000,8000:udp')), '7000:tcp,8000:udp');
  assert.equal(printSteps([]), '');
});
