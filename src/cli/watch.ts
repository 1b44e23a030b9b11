/**
 * `postern watch`: doors, grants counting down and knocks arriving, live. At a terminal that cannot be drawn on it is text, a line an event;
 * into a pipe or a file it is what there is at the moment, once: whoever wants to follow there has `postern log --follow`.
 */

import type { Command } from 'commander';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import type { WireEvent } from '../control/wire-event.ts';
import { monotonicNow } from '../platform/clock.ts';
import { ask, controlCommand } from './ask.ts';
import { socketOf } from './daemon-socket.ts';
import { LogLines } from './log-lines.ts';
import { Screen } from './screen.ts';
import { describeStatus } from './status.ts';
import { paintFor, type Terminal } from './terminal.ts';
import { WatchView } from './watch-view.ts';

export function addWatch(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'watch')
    .description('watch doors, grants and knocks live, until q or Ctrl-C; without a terminal, show them once')
    .action(async (_: object, command: Command) => {
      const { stdout, environment } = terminal;
      const live = stdout.isTTY && environment.TERM !== 'dumb';
      end(
        await ask(command, terminal, (client) =>
          live
            ? watchLive(client, socketOf(command), terminal)
            : stdout.isTTY
              ? watchPlainly(client, terminal)
              : showOnce(client, terminal),
        ),
      );
    });
}

async function showOnce(client: ControlClient, { stdout, stderr, environment }: Terminal): Promise<number> {
  for (const line of describeStatus(await client.status(), paintFor(stdout, environment))) stdout.write(`${line}\n`);
  stderr.write('postern: This is no terminal: what happens from now on is told by postern log --follow (--json)\n');
  return 0;
}

async function watchPlainly(client: ControlClient, terminal: Terminal): Promise<number> {
  const paint = paintFor(terminal.stdout, terminal.environment);
  const lines = new LogLines(paint);
  const print = (line: string): void => void terminal.stdout.write(`${line}\n`);
  let early: WireEvent[] | undefined = [];
  await client.follow({}, (event) => (early ? early.push(event) : print(lines.print(event))));
  for (const line of describeStatus(await client.status(), paint)) print(line);
  print('');
  for (const event of early) print(lines.print(event));
  early = undefined;
  const interrupted = new Promise<true>((resolve) => terminal.onInterrupt(() => resolve(true)));
  if (await Promise.race([interrupted, client.ended])) return 0;
  terminal.stderr.write('postern: The daemon ended the connection\n');
  return 1;
}

/** Between two looks at the whole status; events of grants bring one at once. */
const STATUS_EVERY = 5000;
const STATUS_SOON = 100;
/** Countdowns are drawn this often, events at most this often. */
const DRAW_EVERY = 1000;
const DRAW_SOON = 50;
const RETRY = 1000;

/** Events after which the doors are not what they were. */
const CHANGING = new Set([
  'opened',
  'renewed',
  'closed',
  'expired',
  'adopted',
  'banned',
  'unbanned',
  'reloaded',
  'restored',
  'applied',
  'confirmed',
  'reverted',
]);

async function watchLive(first: ControlClient, socket: string, terminal: Terminal): Promise<number> {
  const { stdout, environment, keyboard } = terminal;
  const view = new WatchView(paintFor(stdout, environment));
  const screen = new Screen(stdout);
  const draw = (): void => {
    const size = { columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 };
    screen.show(view.draw(size, monotonicNow(), terminal.wallNow()));
  };
  const drawing = soon(draw, DRAW_SOON);
  const ticking = setInterval(draw, DRAW_EVERY);
  const stopResizing = terminal.onResize(() => {
    screen.clear();
    draw();
  });
  let stopListening = (): void => {};
  let over = false;
  const quit = new Promise<void>((resolve) => {
    const stop = (): void => {
      over = true;
      resolve();
    };
    terminal.onInterrupt(stop);
    stopListening =
      keyboard?.listen((key) => ['q', 'Q', '\x03', '\x04', '\x1b'].includes(key) && stop()) ?? stopListening;
  });
  const draws = (): void => drawing.ask();
  try {
    for (let client = first; !over; ) {
      await Promise.race([quit, attend(client, view, draws)]);
      if (over) break;
      view.hearTrouble('The daemon is gone: trying to reach it');
      draw();
      const next = await Promise.race([quit, reach(socket, () => over)]);
      if (next) client = next;
    }
  } finally {
    clearInterval(ticking);
    drawing.cancel();
    stopResizing();
    stopListening();
    screen.leave();
  }
  return 0;
}

/** Keeps the view up to date until the connection ends. */
async function attend(client: ControlClient, view: WatchView, draws: () => void): Promise<void> {
  const refresh = async (): Promise<void> => {
    try {
      view.hearStatus(await client.status(), monotonicNow());
      draws();
    } catch (error) {
      if (!(error instanceof ControlError)) throw error; // The end of the connection says it.
    }
  };
  const refreshing = soon(refresh, STATUS_SOON);
  const timer = setInterval(refresh, STATUS_EVERY);
  try {
    await client.follow({}, (event) => {
      view.hearEvent(event, monotonicNow());
      if (CHANGING.has(event.type)) refreshing.ask();
      draws();
    });
    await refresh();
    await client.ended;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
  } finally {
    clearInterval(timer);
    refreshing.cancel();
    client[Symbol.dispose]();
  }
}

async function reach(socket: string, over: () => boolean): Promise<ControlClient | undefined> {
  while (!over()) {
    try {
      return await connectControl(socket);
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
  return undefined;
}

/** Calls once, a little after it was first asked for. */
function soon(call: () => unknown, delay: number): { ask(): void; cancel(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    ask: () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        call();
      }, delay);
    },
    cancel: () => clearTimeout(timer),
  };
}
