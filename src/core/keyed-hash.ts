/**
 * HalfSipHash-1-3 over four 32-bit words (Aumasson, Bernstein: https://github.com/veorq/SipHash): what Linux hashes addresses
 * with in its own tables (`hsiphash_4u32`, Documentation/security/siphash.rst).
 *
 * Strangers choose their source addresses. With a secret seed they can't choose the bucket an address falls into, so they
 * can't make one chain long or share a bound with a chosen victim. The seed is given by the caller, 64 random bits.
 */

/** 64 secret bits, as two 32-bit words. */
export type HashSeed = readonly [number, number];

/** Hashes four words, little-endian each, to a signed 32-bit integer. */
export function keyedHash(seed: HashSeed, a: number, b: number, c: number, d: number): number {
  let v0 = seed[0] | 0;
  let v1 = seed[1] | 0;
  let v2 = seed[0] ^ 0x6c796765;
  let v3 = seed[1] ^ 0x74656462;
  const LENGTH = 16 << 24;
  // The rounds stand in one loop: four words, the length, and three to finish with.
  for (let round = 0; round < 8; round += 1) {
    const word = round === 0 ? a : round === 1 ? b : round === 2 ? c : round === 3 ? d : round === 4 ? LENGTH : 0;
    if (round === 5) v2 ^= 0xff;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}
