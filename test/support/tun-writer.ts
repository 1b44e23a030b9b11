/**
 * Puts IP packets into a tun interface as its far side would: `writeToTun(host, 'tun0', packets)`. Perl is part of every Debian, and
 * can do the ioctl that Node can't.
 */

import type { Host } from './netns.ts';

// struct ifreq: name and flags; IFF_TUN | IFF_NO_PI; TUNSETIFF.
const WRITER = `
use strict; use Time::HiRes 'sleep'; $| = 1;
open(my $tun, '+<', '/dev/net/tun') or die "tun: $!";
my $request = pack('a16 S x22', shift @ARGV, 0x1001);
ioctl($tun, 0x400454ca, $request) or die "TUNSETIFF: $!";
print "attached\\n";
while (my $line = <STDIN>) { chomp $line; syswrite($tun, pack('H*', $line)); print "written\\n"; }
`;

export interface TunWriter {
  write(packets: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

/** Attaches to an existing tun interface; it has a carrier from now on. */
export async function openTun(host: Host, name: string): Promise<TunWriter> {
  const running = host.spawn(['perl', '-e', WRITER, name], { input: { open: true } });
  await running.waitForLine(/^attached$/);
  return {
    async write(packets) {
      for (const packet of packets) {
        const from = running.lines.length;
        running.write(`${Buffer.from(packet).toString('hex')}\n`);
        await running.waitForLine(/^written$/, undefined, from);
      }
    },
    async close() {
      await running.stop();
    },
  };
}
