/**
 * Changes filters in a network namespace whose sockets have as little memory as kernels gave them for twenty years, then less. Prints
 * what each change came to, as JSON; ends with status 77 where namespaces have no limit of their own (before Linux 6.8).
 */

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { CaptureSockets } from '../../src/keeper/capture-sockets.ts';
import { door } from './knocks.ts';

const LIMIT = '/proc/sys/net/core/optmem_max';
if (!existsSync(LIMIT)) process.exit(77);

const everyOther = (count: number): number[] => Array.from({ length: count }, (_, index) => 1024 + 2 * index);
const input = (ports: number) => ({ doors: [door('7001,8001,9001')], publicPorts: everyOther(ports), ipv6: true });

// Without an address nothing counts.
spawnSync('ip', ['link', 'set', 'lo', 'up']);
writeFileSync(LIMIT, '20480');
const relaxed: string[] = [];
const sockets = new CaptureSockets(['any'], input(10), (given) => relaxed.push(given.join()));
// Past each length at which old and new filter together, then the new one alone, are too long.
const grown = Array.from({ length: 80 }, (_, step) => sockets.refilter(input(20 * step)));
const many = sockets.refilter(input(30_000));
writeFileSync(LIMIT, '100');
const starved = sockets.refilter(input(5));
const refreshed = sockets.refresh();
writeFileSync(LIMIT, '20480');
const recovered = sockets.refresh();
sockets.close();
const failures = grown.filter((failed) => failed !== undefined);
process.stdout.write(JSON.stringify({ failures, relaxed, many, starved, refreshed, recovered }));
