/** What must hold of every answer of the packet decoders, whatever the bytes were. */

import assert from 'node:assert/strict';
import type { Address } from '../../src/core/address.ts';
import { DROP_REASONS, type Drop, type Packet } from '../../src/core/packet.ts';

const FIELDS = [
  'source',
  'destination',
  'protocol',
  'sourcePort',
  'destinationPort',
  'flags',
  'sequence',
  'length',
] as const satisfies readonly (keyof Packet)[];

/** Throws when `result` is neither a known drop nor a packet that `wireLength` bytes can hold. */
export function assertWellFormed(result: Packet | Drop, wireLength: number): void {
  if ('drop' in result) {
    assert.deepEqual(Object.keys(result), ['drop']);
    assert.ok(DROP_REASONS.includes(result.drop), `unknown reason ${result.drop}`);
    return;
  }
  assert.deepEqual(Object.keys(result).sort(), [...FIELDS].sort());
  assertAddress(result.source);
  assertAddress(result.destination);
  assertInteger(result.sourcePort, 0, 0xffff);
  assertInteger(result.destinationPort, 0, 0xffff);
  assertInteger(result.flags, 0, 0xff);
  assertInteger(result.sequence, -(2 ** 31), 2 ** 31 - 1);
  const smallest = result.protocol === 'tcp' ? 40 : 28;
  assertInteger(result.length, smallest, wireLength);
  if (result.protocol === 'udp') assert.deepEqual([result.flags, result.sequence], [0, 0]);
  else assert.equal(result.protocol, 'tcp');
}

function assertAddress(address: Address): void {
  assert.deepEqual(Object.keys(address), ['a', 'b', 'c', 'd']);
  for (const word of Object.values(address)) assertInteger(word, -(2 ** 31), 2 ** 31 - 1);
}

function assertInteger(value: number, least: number, most: number): void {
  assert.ok(Number.isInteger(value) && value >= least && value <= most, `${value} is not in ${least}..${most}`);
}

/** The same bytes in the middle of a larger, filled array: a decoder that reads outside its range answers differently. */
export function embedded(bytes: Uint8Array, filling: number): Uint8Array {
  const large = new Uint8Array(bytes.length + 128).fill(filling);
  large.set(bytes, 64);
  return large.subarray(64, 64 + bytes.length);
}
