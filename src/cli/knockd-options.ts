/** The command line of knockd 0.8, and what ours adds to it (long options only, so that no letter of a later knockd is taken). */

import { getopt, type OptionSpec } from './getopt.ts';

const SPECS = [
  { long: 'verbose', short: 'v' },
  { long: 'debug', short: 'D' },
  { long: 'daemon', short: 'd' },
  { long: 'lookup', short: 'l' },
  { long: 'interface', short: 'i', argument: true },
  { long: 'config', short: 'c', argument: true },
  { long: 'help', short: 'h' },
  { long: 'pidfile', short: 'p', argument: true },
  { long: 'logfile', short: 'g', argument: true },
  { long: 'only-ip-v4', short: '4' },
  { long: 'version', short: 'V' },
  { long: 'strict' },
  { long: 'state', argument: true },
  { long: 'tcpdump' },
  { long: 'read', argument: true },
  { long: 'run-commands' },
] as const satisfies readonly OptionSpec[];

export const USAGE = `usage: knockd [options]
options:
  -i, --interface <int>  network interface to listen on (default "eth0")
  -d, --daemon           run as a daemon
  -c, --config <file>    use an alternate config file
  -D, --debug            output debug messages
  -l, --lookup           lookup DNS names (may be a security risk)
  -p, --pidfile          use an alternate pidfile
  -g, --logfile          use an alternate logfile
  -v, --verbose          be verbose
  -4, --only-ip-v4       do not track ipv6
  -V, --version          display version
  -h, --help             this help

beyond knockd 0.8:
  -i may name several interfaces (eth0,wg0) and "any"
      --strict           refuse a config file with warnings
      --state <dir>      where pending stop commands are kept (default "/var/lib/postern")
      --tcpdump          listen through tcpdump (the only way off Linux)
      --read <file>      replay a pcap file instead of listening; says what would run
      --run-commands     with --read: really run the commands

`;

export type CaptureKind = 'ring' | 'tcpdump';

export interface KnockdOptions {
  readonly verbose: boolean;
  readonly debug: boolean;
  readonly daemon: boolean;
  readonly lookup: boolean;
  readonly ipv6: boolean;
  readonly strict: boolean;
  readonly runCommands: boolean;
  readonly config: string;
  readonly interface: string | undefined;
  readonly pidFile: string | undefined;
  readonly logFile: string | undefined;
  readonly state: string | undefined;
  readonly capture: CaptureKind;
  readonly read: string | undefined;
}

/** What the command line asks for: to run with these options, or to say something and end, as knockd does, in the order of the words. */
export type Invocation =
  | { readonly run: KnockdOptions }
  | { readonly say: 'help' | 'version' }
  | { readonly refuse: string; readonly status: number };

/** `program` is the name as called, for getopt's messages. Operands are ignored, as knockd ignores them. */
export function readOptions(argv: readonly string[], program: string, platform: string): Invocation {
  const values = new Map<string, string>();
  const interfaces: string[] = [];
  for (const parsed of getopt(argv, SPECS, program).options) {
    // knockd prints its usage after getopt's message and ends as if all were well.
    if ('error' in parsed) return { refuse: parsed.error, status: 0 };
    const { option, value = '' } = parsed;
    if (option === 'help' || option === 'version') return { say: option };
    if (option === 'interface') interfaces.push(value);
    values.set(option, value);
  }
  return {
    run: {
      verbose: values.has('verbose'),
      debug: values.has('debug'),
      daemon: values.has('daemon'),
      lookup: values.has('lookup'),
      ipv6: !values.has('only-ip-v4'),
      strict: values.has('strict'),
      runCommands: values.has('run-commands'),
      config: values.get('config') ?? '/etc/knockd.conf',
      interface: interfaces.length > 0 ? interfaces.join(',') : undefined,
      pidFile: values.get('pidfile'),
      logFile: values.get('logfile'),
      state: values.get('state'),
      capture: values.has('tcpdump') || platform !== 'linux' ? 'tcpdump' : 'ring',
      read: values.get('read'),
    },
  };
}
