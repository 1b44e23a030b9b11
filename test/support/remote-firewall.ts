/** A firewall driver that works in another network namespace: the same port, carried by firewall-program.ts. */

import { type FirewallDriver, FirewallError } from '../../src/firewall/driver.ts';
import type { FirewallOrder } from './firewall-program.ts';
import type { Host } from './netns.ts';
import { startProgram } from './program.ts';
import type { Running } from './running.ts';

export interface RemoteFirewall {
  readonly driver: FirewallDriver;
  readonly running: Running;
  /** Anything else that the program can do. */
  give(order: FirewallOrder): Promise<unknown>;
  /** What the driver has warned of so far. */
  warnings(): string[];
  /** How often it has told that the guard was lost. */
  losses(): number;
}

/** Starts a driver on a host; it ends with the topology, as a keeper that is killed does. */
export function startFirewall(host: Host, name: string): RemoteFirewall {
  const program = startProgram(host, 'firewall-program.ts', name);
  const { running } = program;
  const give = async (order: FirewallOrder): Promise<unknown> => {
    const reply = (await program.ask({ order })) as { answer?: unknown; error?: string; name?: string };
    if (reply.error === undefined) return reply.answer;
    throw reply.name === 'FirewallError' ? new FirewallError(reply.error) : new Error(reply.error);
  };
  const said = <T>(key: string): T[] =>
    running.lines.filter((line) => line.startsWith(`{"${key}":`)).map((line) => JSON.parse(line)[key] as T);
  const driver: FirewallDriver = {
    name,
    expires: name === 'nftables' || name.startsWith('iptables'),
    install: (guard) => give({ do: 'install', guard }) as Promise<boolean>,
    open: (grant) => give({ do: 'open', grant }) as Promise<void>,
    close: (door, source) => give({ do: 'close', door, source }) as Promise<void>,
    ban: (ban) => give({ do: 'ban', timed: ban }) as Promise<void>,
    unban: (source) => give({ do: 'unban', source }) as Promise<void>,
    allow: (allowed) => give({ do: 'allow', timed: allowed }) as Promise<void>,
    disallow: (source) => give({ do: 'disallow', source }) as Promise<void>,
    list: () => give({ do: 'list' }) as ReturnType<FirewallDriver['list']>,
    remove: () => give({ do: 'remove' }) as Promise<void>,
    watch(lost) {
      let seen = said('lost').length;
      void give({ do: 'watch' });
      const timer = setInterval(() => {
        const now = said('lost').length;
        if (now > seen) lost();
        seen = now;
      }, 5);
      return { close: () => clearInterval(timer) };
    },
    stop: () => give({ do: 'stop' }) as Promise<void>,
  };
  return { driver, running, give, warnings: () => said('warning'), losses: () => said('lost').length };
}
