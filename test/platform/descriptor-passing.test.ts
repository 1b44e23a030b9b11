import assert from 'node:assert/strict';
import { closeSync, fstatSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { describe, test } from 'node:test';
import { packetPair, pipe, receivePacket, sendPacket, streamPair } from '../../src/platform/descriptor-passing.ts';

const skip = process.platform === 'linux' ? false : 'the structures are those of Linux';

const openDescriptors = (): readonly string[] => readdirSync('/proc/self/fd');
const isInherited = (fd: number): boolean =>
  (Number.parseInt(/^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '', 8) &
    0o2000000) ===
  0;

function withPair(use: (one: number, other: number) => void): void {
  const [one, other] = packetPair();
  try {
    use(one, other);
  } finally {
    for (const fd of [one, other]) closeSync(fd);
  }
}

describe('descriptors are passed', { skip }, () => {
  test('and are the same files on the other side, in the order they were given', () => {
    withPair((one, other) => {
      const pipes = Array.from({ length: 5 }, () => pipe());
      sendPacket(
        one,
        'five ends',
        pipes.map(([, end]) => end),
      );
      for (const [, end] of pipes) closeSync(end);
      const packet = receivePacket(other, 100);
      assert.deepEqual([packet?.text, packet?.descriptors.length], ['five ends', 5]);
      packet?.descriptors.forEach((fd, index) => {
        writeSync(fd, `pipe ${index}`);
        closeSync(fd);
      });
      const said = pipes.map(([begin]) => {
        const bytes = Buffer.alloc(20);
        const length = readSync(begin, bytes);
        closeSync(begin);
        return bytes.toString('latin1', 0, length);
      });
      assert.deepEqual(said, ['pipe 0', 'pipe 1', 'pipe 2', 'pipe 3', 'pipe 4']);
    });
  });

  test('as many as the kernel takes, and no more', () => {
    withPair((one, other) => {
      sendPacket(
        one,
        'many',
        Array.from({ length: 253 }, () => one),
      );
      const packet = receivePacket(other, 100);
      assert.equal(packet?.descriptors.length, 253);
      for (const fd of packet?.descriptors ?? []) closeSync(fd);
      assert.throws(
        () =>
          sendPacket(
            one,
            'too many',
            Array.from({ length: 254 }, () => one),
          ),
        { code: 'EINVAL' },
      );
    });
  });

  test('packets stay apart, with and without descriptors; none yet is undefined, the end is empty', () => {
    const [one, other] = packetPair();
    const { ino } = fstatSync(one);
    sendPacket(one, 'first');
    sendPacket(one, 'second', [one]);
    sendPacket(one, 'ünï');
    const packets = [receivePacket(other, 100), receivePacket(other, 100), receivePacket(other, 100)];
    assert.deepEqual(
      packets.map((packet) => [packet?.text, packet?.descriptors.map((fd) => fstatSync(fd).ino)]),
      [
        ['first', []],
        ['second', [ino]],
        ['ünï', []],
      ],
    );
    assert.equal(receivePacket(other, 100), undefined);
    for (const fd of packets[1]?.descriptors ?? []) closeSync(fd);
    closeSync(one);
    assert.deepEqual(receivePacket(other, 100), { text: '', descriptors: [] });
    closeSync(other);
  });

  test('a packet that does not fit is refused, and leaves no descriptor open', () => {
    withPair((one, other) => {
      const before = openDescriptors();
      sendPacket(one, 'longer than that', [one]);
      assert.throws(() => receivePacket(other, 5), /did not fit/);
      assert.deepEqual(openDescriptors(), before);
    });
  });

  test('who does not read keeps nobody waiting', () => {
    withPair((one) => {
      assert.throws(() => {
        for (let sent = 0; sent < 100_000; sent += 1) sendPacket(one, 'unread');
      }, /temporarily unavailable/);
    });
  });

  test('none of them is inherited by what is executed', () => {
    withPair((one, other) => {
      sendPacket(one, 'yours', [one]);
      const received = receivePacket(other, 100)?.descriptors ?? [];
      const made = [...streamPair(), ...pipe(), ...received];
      assert.deepEqual([one, other, ...made].filter(isInherited), []);
      for (const fd of made) closeSync(fd);
    });
  });
});
