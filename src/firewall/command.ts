/**
 * The driver that leaves the work to the administrator's own program (`command` of `[firewall]`), for firewalls that we do not know. It is
 * run for every operation, one after another, argv and no shell; doc/firewalls.md has its words. Status 0 means done.
 *
 *     PROGRAM install            the guard on standard input, a JSON object a line
 *     PROGRAM open DOOR SOURCE SECONDS      close DOOR SOURCE
 *     PROGRAM ban SOURCE SECONDS            unban SOURCE
 *     PROGRAM allow SOURCE SECONDS          disallow SOURCE
 *     PROGRAM list               answers `guard`, `grant DOOR SOURCE`, `ban SOURCE`, `allow SOURCE`, a line each
 *     PROGRAM remove
 *
 * The daemon ends what it has opened (`expires` is false). What it promises less than the contract is what the program does not do: lists
 * show every grant as endless and without a comment, and what becomes of sessions is the program's matter. A guard that is lost is
 * noticed if the program's lists say `guard` while it stands.
 */

import { type Address, family, parseAddress, printAddress } from '../core/address.ts';
import { printPrefix } from '../core/policy.ts';
import { refuses } from './closed-port.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
} from './driver.ts';
import { GuardWatches } from './guard-watch.ts';
import { blockIn, checkDoor } from './guarded.ts';
import { Lane } from './lane.ts';
import { checkGuard } from './nft-rules.ts';
import { refusal, runTool } from './tool.ts';

export type Argv = readonly [string, ...string[]];

export interface CommandOptions {
  /** The program, by its whole path, and words that come before ours. */
  readonly command: Argv;
  readonly warn?: (message: string) => void;
}

/** What the program said stands. */
export interface Listing extends Standing {
  /** There was a line `guard`. */
  readonly guard: boolean;
}

export function openCommand(options: CommandOptions): FirewallDriver {
  return new CommandDriver(options);
}

/** The guard as the program reads it: first what it is altogether, then the trusted, then the doors. */
export function guardLines(guard: Guard): string {
  const face = refuses(guard, 'tcp') ? 'reset' : 'drop';
  const lines: object[] = [
    { observe: guard.observe, face, ipv6_prefix: guard.ipv6Prefix },
    ...guard.trusted.map((block) => ({ trusted: printPrefix(block) })),
    ...guard.doors.map(({ name, protect, close }) => ({
      door: name,
      protect: protect.map(({ protocol, first, last }) => `${protocol}/${first === last ? first : `${first}-${last}`}`),
      close,
    })),
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** Throws a `FirewallError` at a line that is none of ours: a list that is read by halves would be believed. */
export function parseListing(text: string): Listing {
  const remaining = Number.POSITIVE_INFINITY;
  const [grants, bans, allowed]: [Grant[], TimedSource[], TimedSource[]] = [[], [], []];
  let guard = false;
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/);
    const source = parseAddress((words.at(-1) ?? '').replace(/\/\d{1,3}$/, ''));
    if (line.trim() === '') continue;
    if (words[0] === 'guard' && words.length === 1) guard = true;
    else if (source && words[0] === 'ban' && words.length === 2) bans.push({ source, remaining });
    else if (source && words[0] === 'allow' && words.length === 2) allowed.push({ source, remaining });
    else if (source && words[0] === 'grant' && words.length === 3) {
      grants.push({ door: words[1] ?? '', source, remaining, comment: '' });
    } else throw new FirewallError(`line ${index + 1} of its list is not understood: "${line.trim().slice(0, 80)}"`);
  }
  return { guard, grants, bans, allowed };
}

class CommandDriver implements FirewallDriver {
  readonly name = 'command';
  readonly expires = false;
  readonly #command: Argv;
  readonly #lane = new Lane();
  readonly #watches: GuardWatches;
  #guard: Guard | undefined;
  /** Do lists say `guard` while it stands? Undefined before the first one after an installation. */
  #tells: boolean | undefined;

  constructor({ command, warn = () => {} }: CommandOptions) {
    this.#command = command;
    this.#watches = new GuardWatches({ stands: () => this.#standing(), warn });
  }

  install(guard: Guard): Promise<boolean> {
    return this.#lane.run(async () => {
      try {
        checkGuard(guard);
        const stood = await this.#stands();
        await this.#run(['install'], guardLines(guard));
        this.#guard = guard;
        this.#tells = stood || undefined;
        this.#watches.soon();
        return stood;
      } catch (error) {
        throw refusal('Cannot install the guard', error);
      }
    });
  }

  open({ door, source, remaining }: Grant): Promise<void> {
    const what = `open door "${door}" for ${printAddress(source)}`;
    return this.#lane.run(() => {
      checkDoor(this.#guard, door, what);
      return this.#forTime(what, ['open', door], source, remaining);
    });
  }

  close(door: string, source: Address): Promise<void> {
    return this.#end(`close door "${door}" for ${printAddress(source)}`, ['close', door], source);
  }

  ban({ source, remaining }: TimedSource): Promise<void> {
    return this.#lane.run(() => this.#forTime(`ban ${printAddress(source)}`, ['ban'], source, remaining));
  }

  unban(source: Address): Promise<void> {
    return this.#end(`end the ban of ${printAddress(source)}`, ['unban'], source);
  }

  allow({ source, remaining }: TimedSource): Promise<void> {
    return this.#lane.run(() => this.#forTime(`allow ${printAddress(source)}`, ['allow'], source, remaining));
  }

  disallow(source: Address): Promise<void> {
    return this.#end(`no longer allow ${printAddress(source)}`, ['disallow'], source);
  }

  list(): Promise<Standing> {
    return this.#lane.run(async () => {
      try {
        const { guard, grants, bans, allowed } = await this.#list();
        this.#tells ??= guard;
        return { grants, bans, allowed };
      } catch (error) {
        throw refusal('Cannot list the grants', error);
      }
    });
  }

  remove(): Promise<void> {
    return this.#lane.run(async () => {
      this.#guard = undefined;
      try {
        await this.#run(['remove']);
      } catch (error) {
        throw refusal('Cannot remove the guard', error);
      }
    });
  }

  watch(lost: () => void): { close(): void } {
    return this.#watches.begin(lost);
  }

  async stop(): Promise<void> {
    this.#watches.close();
    await this.#lane.settled();
  }

  /** For the watch: false when the guard is gone. */
  #standing(): Promise<boolean> {
    return this.#lane.run(async () => {
      // A program that does not tell is not started to be asked.
      if (this.#guard === undefined || this.#tells === false) return true;
      const { guard } = await this.#list();
      const isLost = this.#tells === true && !guard;
      // One loss is told once; the next installation asks anew.
      this.#tells = guard;
      return !isLost;
    });
  }

  async #list(): Promise<Listing> {
    return parseListing(await this.#run(['list']));
  }

  /** A program that cannot list before its first installation has no guard. */
  async #stands(): Promise<boolean> {
    try {
      return (await this.#list()).guard;
    } catch {
      return false;
    }
  }

  async #forTime(what: string, words: readonly string[], source: Address, remaining: number): Promise<void> {
    if (!(remaining > 0)) throw new FirewallError(`Cannot ${what}: no time is left`);
    try {
      await this.#run([...words, this.#source(source), String(Math.ceil(remaining / 1000))]);
    } catch (error) {
      throw refusal(`Cannot ${what}`, error);
    }
  }

  #end(what: string, words: readonly string[], source: Address): Promise<void> {
    return this.#lane.run(async () => {
      try {
        await this.#run([...words, this.#source(source)]);
      } catch (error) {
        throw refusal(`Cannot ${what}`, error);
      }
    });
  }

  #source(source: Address): string {
    return family(source) === 4 ? printAddress(source) : printPrefix(blockIn(this.#guard, source));
  }

  #run(words: readonly string[], input = ''): Promise<string> {
    return runTool([...this.#command, ...words], input);
  }
}
