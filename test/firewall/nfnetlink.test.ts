/** Bytes recorded from Linux 6.18 and from nft 1.0.6, and what becomes of them when they are cut or changed. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  commentText,
  decodeElements,
  decodeMeaning,
  decodeMessages,
  decodeNames,
  elementBytes,
  encodeBatch,
  encodeDump,
  NFT,
  renewal,
} from '../../src/firewall/nfnetlink.ts';

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

/** `open4_ssh` with three elements: two of 30 s with comments, one for good. */
const DUMP =
  'b80000000c0a020009000000d1e03ac0010000040c000100706f737465726e000e0002006f70656e345f73736800000088000300380001000c000100080001000a0102060c00040000000000000075300c00050000000000000075280f0006000009757365723d626f6200003c0001000c000100080001000a0102040c00040000000000000075300c000500000000000000752813000600000d757365723d616c69636520780000100001000c000100080001000a010205';
const DUMP_END =
  '340000000c0a0200090000009b0bd78c010000040c000100706f737465726e000e0002006f70656e345f737368000000040003001400000003000200090000009b0bd78c00000000';
const MAP =
  '600000000c0a020009000000d1e03ac0010000040c000100706f737465726e000f000200706f7274735f746370340000300003002c0001000c00010006000100001600001c0002001800020008000100fffffffc0c000200746370345f323200';
const ACKNOWLEDGED = '2400000002000001070000009b0bd78c00000000600000000c0a05040700000000000000';
const REFUSED = '2c00000002000003080000009b0bd78cfeffffff440000000c0a010408000000000000000800020020000000';
const NO_SUCH_SET = '2c000000020000030a0000009b0bd78cfeffffff2c0000000d0a01030a000000000000000800020020000000';
/** Our renewal, as the monitor tells it: added, deleted, added. */
const EVENTS =
  '440000000c0a0004000000009b0bd78c010000040c000100706f737465726e000e0002006f70656e345f73736800000014000300100001000c000100080001000a010206440000000e0a0000000000009b0bd78c010000040c000100706f737465726e000e0002006f70656e345f73736800000014000300100001000c000100080001000a0102066c0000000c0a0004000000009b0bd78c010000040c000100706f737465726e000e0002006f70656e345f7373680000003c000300380001000c000100080001000a0102060c00040000000000000075300c00050000000000000075300f0006000009757365723d626f620000';
const NEW_TABLE =
  '3c000000000a00000100000072480000020000050a0001006f7468657200000008000300000000000c00040000000000000000020800020000000000';
/** What `nft add element inet postern open4_my-door { 10.1.2.4 timeout 30s comment "user=alice x" }` sends of its element. */
const NFT_ELEMENT = {
  list: '3400038030000180',
  timeout: '0c0004000000000000007530',
  key: '0c000180080001000a010204',
  comment: '13000600000d757365723d616c696365207800',
};

const RECORDED = [DUMP, DUMP_END, MAP, ACKNOWLEDGED, REFUSED, NO_SUCH_SET, EVENTS, NEW_TABLE].map(bytes);

/** Everything that can be read out of received bytes. */
function readAll(data: Uint8Array): unknown[] {
  return decodeMessages(data).map((message) => {
    const meaning = decodeMeaning(message);
    if (meaning.kind !== 'nftables') return meaning;
    const { number, body } = meaning;
    return { number, names: decodeNames(number, body), elements: decodeElements(body), raw: elementBytes(body).length };
  });
}

describe('decoding', () => {
  test('a dump gives keys, remaining milliseconds and comments', () => {
    const [message] = decodeMessages(bytes(DUMP));
    const meaning = decodeMeaning(message!);
    assert.equal(message!.sequence, 9);
    assert.ok(meaning.kind === 'nftables' && meaning.number === NFT.newElement);
    assert.deepEqual(decodeNames(meaning.number, meaning.body), { table: 'postern', name: 'open4_ssh' });
    assert.deepEqual(decodeElements(meaning.body), [
      { key: new Uint8Array([10, 1, 2, 6]), remaining: 29_992, comment: 'user=bob' },
      { key: new Uint8Array([10, 1, 2, 4]), remaining: 29_992, comment: 'user=alice x' },
      { key: new Uint8Array([10, 1, 2, 5]), remaining: Number.POSITIVE_INFINITY, comment: '' },
    ]);
  });

  test('a dump ends with `done`', () => {
    const kinds = decodeMessages(bytes(DUMP_END)).map((message) => decodeMeaning(message));
    assert.deepEqual(
      kinds.map(({ kind }) => kind),
      ['nftables', 'done'],
    );
    assert.equal(kinds[1]!.kind === 'done' && kinds[1]!.errno, 0);
  });

  test('answers are told apart', () => {
    const [acknowledged, refused, missing] = [ACKNOWLEDGED, REFUSED, NO_SUCH_SET].map((text) =>
      decodeMeaning(decodeMessages(bytes(text))[0]!),
    );
    assert.deepEqual(acknowledged, { kind: 'acknowledged' });
    assert.deepEqual(refused, { kind: 'refused', errno: 2, text: '' });
    assert.deepEqual(missing, { kind: 'refused', errno: 2, text: '' });
  });

  test("the kernel's explanation is read", () => {
    const words = 'Not supported';
    const attribute = `${hex(new Uint8Array([4 + words.length + 1, 0, 1, 0]))}${Buffer.from(`${words}\0\0\0`).toString('hex')}`;
    const length = 16 + 4 + 16 + 4 + 16;
    const message = `${hex(new Uint8Array([length, 0, 0, 0]))}0200000301000000000000005fffffff${'00'.repeat(16)}${attribute}`;
    const meaning = decodeMeaning(decodeMessages(bytes(message))[0]!);
    assert.deepEqual(meaning, { kind: 'refused', errno: 161, text: words });
  });

  test('events name their table and set', () => {
    const names = decodeMessages(bytes(EVENTS)).map((message) => {
      const meaning = decodeMeaning(message);
      return meaning.kind === 'nftables' && [meaning.number, decodeNames(meaning.number, meaning.body).name];
    });
    assert.deepEqual(names, [
      [NFT.newElement, 'open4_ssh'],
      [NFT.delElement, 'open4_ssh'],
      [NFT.newElement, 'open4_ssh'],
    ]);
    const table = decodeMeaning(decodeMessages(bytes(NEW_TABLE))[0]!);
    assert.ok(table.kind === 'nftables');
    assert.equal(decodeNames(table.number, table.body).table, 'other');
  });

  test('every truncation of what was recorded is read as far as it goes', () => {
    for (const recorded of RECORDED) {
      const whole = readAll(recorded).length;
      for (let length = 0; length < recorded.length; length += 1) {
        assert.ok(readAll(recorded.subarray(0, length)).length < whole);
      }
      for (const message of decodeMessages(recorded)) {
        for (let length = 0; length < message.payload.length; length += 1) {
          const meaning = decodeMeaning({ ...message, payload: message.payload.subarray(0, length) });
          if (meaning.kind === 'nftables') decodeElements(meaning.body);
        }
      }
    }
  });

  test('no flipped bit makes it throw, or read more elements than there is room for', () => {
    for (const recorded of RECORDED) {
      for (let bit = 0; bit < recorded.length * 8; bit += 1) {
        const changed = recorded.slice();
        changed[bit >> 3]! ^= 1 << (bit & 7);
        assert.ok(readAll(changed).length <= recorded.length / 16);
      }
    }
  });

  test('random bytes are read without an error, twice the same', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (data) => {
        assert.deepEqual(readAll(data), readAll(data));
      }),
    );
  });
});

describe('encoding', () => {
  test('an element is encoded as nft does, but for the order of attributes', () => {
    const [, add] = decodeMessages(
      encodeBatch(
        [
          {
            action: 'add',
            set: 'x',
            elements: [{ key: new Uint8Array([10, 1, 2, 4]), timeout: 30_000, comment: 'user=alice x' }],
          },
        ],
        1,
      ),
    );
    for (const part of Object.values(NFT_ELEMENT)) assert.ok(hex(add!.payload).includes(part), part);
  });

  test('a renewal is add, delete, add in one batch that asks once for an answer', () => {
    const batch = encodeBatch(
      renewal('open4_ssh', { key: new Uint8Array([10, 1, 2, 6]), timeout: 30_000, comment: 'user=bob' }),
      7,
    );
    assert.equal(
      hex(batch),
      '140000001000010007000000000000000000000a440000000c0a01040700000000000000010000000c000100706f737465726e000e0002006f70656e345f73736800000014000380100001800c000180080001000a010206440000000e0a01000700000000000000010000000c000100706f737465726e000e0002006f70656e345f73736800000014000380100001800c000180080001000a010206600000000c0a05040700000000000000010000000c000100706f737465726e000e0002006f70656e345f737368000000300003802c0001800c000180080001000a0102060c00040000000000000075300f0006000009757365723d626f620000140000001100010007000000000000000000000a',
    );
  });

  test('what is encoded is decoded to the same elements', () => {
    const element = fc.record({
      key: fc.uint8Array({ minLength: 1, maxLength: 64 }),
      comment: fc.string({ maxLength: 100 }).map(commentText),
    });
    fc.assert(
      fc.property(fc.array(element, { maxLength: 20 }), fc.nat(), (elements, sequence) => {
        const batch = encodeBatch([{ action: 'add', set: 'open6_door', elements }], sequence);
        const messages = decodeMessages(batch);
        assert.equal(messages.length, 3);
        assert.ok(messages.every((message) => message.sequence === sequence));
        const meaning = decodeMeaning(messages[1]!);
        assert.ok(meaning.kind === 'nftables');
        assert.deepEqual(
          decodeElements(meaning.body).map(({ key, comment }) => ({ key: [...key], comment })),
          elements.map(({ key, comment }) => ({ key: [...key], comment })),
        );
      }),
    );
  });

  test('a time is whole milliseconds and never 0, which would be for good', () => {
    const timeOf = (timeout: number): string => {
      const batch = encodeBatch([{ action: 'add', set: 'x', elements: [{ key: new Uint8Array(4), timeout }] }], 1);
      return /0c000400([0-9a-f]{16})/.exec(hex(batch))![1]!;
    };
    assert.deepEqual(
      [0, 0.2, 1, 1500.5, 2 ** 40].map((ms) => Number.parseInt(timeOf(ms), 16)),
      [1, 1, 1, 1501, 2 ** 40],
    );
  });

  test('a dump of tables takes no filter, one of elements names the set', () => {
    assert.equal(hex(encodeDump('getTable', 3)), '14000000010a0103030000000000000001000000');
    assert.match(hex(encodeDump('getElement', 3, 'ban4')), /62616e34/);
  });

  test('comments are what nft can print and read again', () => {
    assert.equal(commentText('user=alice "x" \\ \n é'), 'user=alice ?x? ? ? ?');
    assert.equal(commentText('x'.repeat(200)).length, 100);
  });
});
