/** A pretended daemon at a socket of its own, with a configuration that names it, and the command that talks to it. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main } from '../../src/cli/postern.ts';
import type { Controlled } from '../../src/control/controlled.ts';
import { serveControl } from '../../src/control/server.ts';
import { after } from '../../src/platform/timer.ts';
import { type FakeControlled, fakeControlled } from './fake-controlled.ts';
import { FakeTerminal } from './fake-terminal.ts';
import { temporaryFolder } from './temporary-folder.ts';

export interface ControlDaemon extends AsyncDisposable {
  readonly folder: string;
  readonly config: string;
  readonly socket: string;
  readonly daemon: FakeControlled;
  /** Ends it, or starts it again. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** `postern --config FILE ...`. */
  postern(...words: string[]): Promise<{ status: number; out: string; err: string }>;
  /** The same, at a terminal, while it runs. */
  runAt(terminal: FakeTerminal, ...words: string[]): Promise<number>;
}

export const CONFIG = `
[state]
dir = "state"

[door.ssh]
protect = ["tcp/22"]

[door.ssh.knock]
steps = ["tcp/7000", "udp/8000", "tcp/9000"]

[door.hand]
protect = ["tcp/443", "tcp/8000-8010"]
open_for = "1h"
renew = false
close = "kill"
`;

export async function controlDaemon(changes: Partial<Controlled> = {}): Promise<ControlDaemon> {
  const folder = temporaryFolder();
  const config = join(folder.path, 'postern.toml');
  const socket = join(folder.path, 'state', 'control.sock');
  writeFileSync(config, CONFIG);
  const daemon = fakeControlled(changes);
  const ports = { wallNow: Date.now, monotonicNow: () => performance.now(), after, failed: () => {} };
  const begin = () => serveControl(socket, daemon, ports, 'no-such-group');
  let server: Awaited<ReturnType<typeof begin>> | undefined = await begin();
  const stop = async (): Promise<void> => {
    await server?.close();
    server = undefined;
  };
  const runAt = (terminal: FakeTerminal, ...words: string[]): Promise<number> =>
    main(['--config', config, ...words], terminal);
  return {
    folder: folder.path,
    config,
    socket,
    daemon,
    stop,
    start: async () => {
      server ??= await begin();
    },
    postern: async (...words) => {
      const terminal = new FakeTerminal();
      const status = await runAt(terminal, ...words);
      return { status, out: terminal.out, err: terminal.err };
    },
    runAt,
    [Symbol.asyncDispose]: async () => {
      await stop();
      folder[Symbol.dispose]();
    },
  };
}
