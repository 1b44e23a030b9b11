/**
 * The options of `knock`: knock 0.8's own, whose text and meaning stay as they are, and ours, which have only long names.
 *
 * They are gone through in order, as knock does, so the first `-V`, `-h` or mistake decides. All bad values are reported, not only the first.
 */

import { isIP } from 'node:net';
import { DEFAULT_DELAY } from '../client/knock.ts';
import type { Family } from '../core/address.ts';
import { getopt, type Ordering } from './getopt.ts';

/** knock 0.8's long options in its order, then ours; no abbreviation that knock understands becomes ambiguous. */
const OPTIONS = [
  { long: 'verbose', short: 'v' },
  { long: 'udp', short: 'u' },
  { long: 'delay', short: 'd', argument: true },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
  { long: 'ipv4', short: '4' },
  { long: 'ipv6', short: '6' },
  { long: 'repeat', argument: true },
  { long: 'interface', argument: true },
  { long: 'source', argument: true },
  { long: 'json' },
] as const;

/** knock 0.8's usage text, our options after its own, and what its text leaves out at the end. */
export const USAGE = `\
usage: knock [options] <host> <port[:proto]> [port[:proto]] ...
options:
  -u, --udp            make all ports hits use UDP (default is TCP)
  -d, --delay <t>      wait <t> milliseconds between port hits
  -4, --ipv4           Force usage of IPv4
  -6, --ipv6           Force usage of IPv6
  -v, --verbose        be verbose
  -V, --version        display version
  -h, --help           this help
      --repeat <n>     knock the whole sequence <n> times
      --interface <i>  knock from the address of network interface <i>
      --source <addr>  knock from the local address <addr>
      --json           print the result as one JSON object

example:  knock myserver.example.com 123:tcp 456:udp 789:tcp

The delay is ${DEFAULT_DELAY} unless given (knock 0.8: 0) and follows the last hit too.
A port is a number from 1 to 65535 or the name of a service (http, domain:udp).
Exit status: 0 when every packet was sent, 1 when not.

`;

const MOST_REPEATS = 1000;

/** What the options of one run ask for. */
export interface KnockSettings {
  readonly verbose: boolean;
  readonly allUdp: boolean;
  readonly json: boolean;
  /** Milliseconds. */
  readonly delay: number;
  readonly repeat: number;
  readonly family: Family | undefined;
  readonly interface: string | undefined;
  /** An IP address, of `family` when both are given. */
  readonly source: string | undefined;
}

/** A command line to act on. `mistake` is getopt's message or empty; `errors` are whole lines. */
export type KnockCommand =
  | { readonly do: 'version' }
  | { readonly do: 'usage'; readonly mistake: string }
  | { readonly do: 'refuse'; readonly errors: readonly string[]; readonly host: string; readonly json: boolean }
  | {
      readonly do: 'knock';
      readonly settings: KnockSettings;
      readonly host: string;
      readonly ports: readonly string[];
      readonly warnings: readonly string[];
    };

/** Reads the arguments after the program's name. */
export function readCommand(argv: readonly string[], program: string, ordering: Ordering): KnockCommand {
  let verbose = false;
  let allUdp = false;
  let json = false;
  let delay = DEFAULT_DELAY;
  let repeat = 1;
  let family: Family | undefined;
  let interfaceName: string | undefined;
  let source: string | undefined;
  const errors: string[] = [];
  const warnings: string[] = [];
  const { options, operands } = getopt(argv, OPTIONS, program, ordering);
  for (const parsed of options) {
    if ('error' in parsed) return { do: 'usage', mistake: parsed.error };
    const value = parsed.value ?? '';
    switch (parsed.option) {
      case 'verbose':
        verbose = true;
        break;
      case 'udp':
        allUdp = true;
        break;
      case 'delay':
        delay = atoi(value);
        if (!/^-?[0-9]+$/.test(value))
          warnings.push(`warning: delay "${value}" is not a whole number, taking ${delay}`);
        break;
      case 'help':
        return { do: 'usage', mistake: '' };
      case 'version':
        return { do: 'version' };
      case 'ipv4':
        family = 4;
        break;
      case 'ipv6':
        family = 6;
        break;
      case 'repeat':
        repeat = /^[0-9]{1,9}$/.test(value) ? Number(value) : 0;
        if (repeat < 1 || repeat > MOST_REPEATS) {
          errors.push(`Cannot repeat "${value}" times: must be a whole number from 1 to ${MOST_REPEATS}`);
        }
        break;
      case 'interface':
        interfaceName = value;
        break;
      case 'source':
        source = value;
        break;
      case 'json':
        json = true;
        break;
    }
  }
  const [host, ...ports] = operands;
  if (host === undefined || ports.length === 0) return { do: 'usage', mistake: '' };
  if (delay < 0) errors.unshift('error: delay cannot be negative');
  if (source !== undefined) {
    if (isIP(source) === 0) errors.push(`Cannot knock from "${source}": not an IP address`);
    else if (family && isIP(source) !== family)
      errors.push(`Cannot knock from "${source}": not an IPv${family} address`);
    if (interfaceName !== undefined) errors.push('Cannot use both --source and --interface');
  }
  if (errors.length > 0) return { do: 'refuse', errors, host, json };
  const settings = { verbose, allUdp, json, delay, repeat, family, interface: interfaceName, source };
  return { do: 'knock', settings, host, ports, warnings };
}

/** C's atoi, which knock reads its delay with: leading digits count, anything else is 0. Kept within what a timer can wait. */
function atoi(text: string): number {
  const number = Number(/^\s*([+-]?[0-9]+)/.exec(text)?.[1] ?? 0);
  return Math.max(-1, Math.min(number, 0x7fffffff));
}
