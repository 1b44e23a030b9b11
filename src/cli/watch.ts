/**
 * `postern watch`: doors, grants counting down, knocks arriving, who is probing and who is banned, live. At a terminal that cannot be drawn
 * on it is text, a line an event, and one for each who begins to probe or is banned; into a pipe or a file, and with `--json`, it is what
 * there is at the moment, once: whoever wants to follow there has `postern log --follow`.
 */

import type { Command } from 'commander';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import type { WireEvent, WireStranger } from '../control/wire-event.ts';
import { monotonicNow } from '../platform/clock.ts';
import { jsonOption } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import { socketOf } from './daemon-socket.ts';
import { LogLines } from './log-lines.ts';
import { Screen } from './screen.ts';
import { describeStatus } from './status.ts';
import { type Paint, paintFor, type Terminal } from './terminal.ts';
import { describeProbing, PROBING, ProbingNews, printProbing, WORST } from './watch-strangers.ts';
import { RECALLED, WatchView } from './watch-view.ts';

export function addWatch(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'watch')
    .description(
      'watch doors, grants, knocks and attackers live, until q or Ctrl-C; without a terminal, show them once',
    )
    .addOption(jsonOption())
    .action(async (options: { json?: true }, command: Command) => {
      const { stdout, environment } = terminal;
      const live = stdout.isTTY && environment.TERM !== 'dumb';
      end(
        await ask(command, terminal, (client) => {
          if (options.json) return printOnce(client, terminal);
          if (live) return watchLive(client, socketOf(command), terminal);
          return stdout.isTTY ? watchPlainly(client, terminal) : showOnce(client, terminal);
        }),
      );
    });
}

/** One object: what `status --json` and `attackers --json` print. */
async function printOnce(client: ControlClient, { stdout }: Terminal): Promise<number> {
  const status = await client.status();
  stdout.write(`${JSON.stringify({ status, attackers: await client.attackers(WORST) })}\n`);
  return 0;
}

async function showOnce(client: ControlClient, terminal: Terminal): Promise<number> {
  const { stdout, stderr, environment } = terminal;
  const strangers = await client.attackers(WORST);
  for (const line of await summary(client, strangers, paintFor(stdout, environment), terminal))
    stdout.write(`${line}\n`);
  stderr.write('postern: This is no terminal: what happens from now on is told by postern log --follow (--json)\n');
  return 0;
}

/** The status, and the worst of those who probe. */
async function summary(
  client: ControlClient,
  strangers: readonly WireStranger[],
  paint: Paint,
  { wallNow }: Terminal,
): Promise<readonly string[]> {
  const status = await client.status();
  const known = status.bans.filter(({ source }) => strangers.some((stranger) => stranger.source === source));
  const probing = describeProbing(strangers.slice(0, SUMMED_UP), known, paint, wallNow());
  return [...describeStatus(status, paint), ...(probing.length === 0 ? [] : ['', ...probing])];
}

async function watchPlainly(client: ControlClient, terminal: Terminal): Promise<number> {
  const paint = paintFor(terminal.stdout, terminal.environment);
  const lines = new LogLines(paint);
  const print = (line: string): void => void terminal.stdout.write(`${line}\n`);
  let early: WireEvent[] | undefined = [];
  const news = new ProbingNews();
  const looking = soon(async () => {
    for (const stranger of news.hear(await orNothing(client.attackers(WORST)))) print(printProbing(stranger, paint));
  }, STRANGERS_SOON);
  await client.follow({}, (event) => {
    if (PROBING.has(event.type)) looking.ask();
    if (early) early.push(event);
    else print(lines.print(event));
  });
  const strangers = await client.attackers(WORST);
  news.hear(strangers);
  for (const line of await summary(client, strangers, paint, terminal)) print(line);
  print('');
  for (const event of early) print(lines.print(event));
  early = undefined;
  const interrupted = new Promise<true>((resolve) => terminal.onInterrupt(() => resolve(true)));
  const asked = await Promise.race([interrupted, client.ended]);
  looking.cancel();
  if (asked) return 0;
  terminal.stderr.write('postern: The daemon ended the connection\n');
  return 1;
}

/** What was asked for; nothing, where the daemon fails at it or the connection has ended: that is told elsewhere. */
async function orNothing<T>(asked: Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    return [];
  }
}

/** Of a summary. */
const SUMMED_UP = 5;
/** Floods make many events: strangers are looked at once a second. */
const STRANGERS_SOON = 1000;
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
  'allowed',
  'disallowed',
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
      view.hearStrangers(await client.attackers(WORST));
      draws();
    } catch (error) {
      if (!(error instanceof ControlError)) throw error; // The end of the connection says it.
    }
  };
  const refreshing = soon(refresh, STATUS_SOON);
  const looking = soon(refresh, STRANGERS_SOON);
  const timer = setInterval(refresh, STATUS_EVERY);
  // What happens before the past is told waits for it.
  let early: WireEvent[] | undefined = [];
  const hear = (event: WireEvent): void => {
    if (early) return void early.push(event);
    view.hearEvent(event, monotonicNow());
    draws();
  };
  try {
    await client.follow({}, (event) => {
      if (CHANGING.has(event.type)) refreshing.ask();
      else if (PROBING.has(event.type)) looking.ask();
      hear(event);
    });
    view.hearPast(await orNothing(client.log({ limit: RECALLED })));
    const heard = early;
    early = undefined;
    heard.forEach(hear);
    await refresh();
    await client.ended;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
  } finally {
    clearInterval(timer);
    refreshing.cancel();
    looking.cancel();
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
