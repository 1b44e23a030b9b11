/**
 * The driver for FreeBSD's ipfw: a table for each door (`tables.ts`), in which a grant's end stands as the value of its source.
 *
 * It was written by the manual and is tested against a stub of `ipfw` that records what it is told; it was never run on FreeBSD.
 */

import { wallNow } from '../platform/clock.ts';
import type { FirewallDriver, Grant, TimedSource } from './driver.ts';
import {
  ALLOWED,
  BANS,
  doorOfTable,
  doorTable,
  IN_FORCE,
  installCommands,
  isEnabled,
  LIVE,
  parseTables,
  removeCommands,
} from './ipfw-rules.ts';
import { openTables, type TableFirewall, type TableOptions } from './tables.ts';
import { runTool } from './tool.ts';

export function openIpfw(options: TableOptions = {}): FirewallDriver {
  return openTables(ipfw(options), options);
}

function ipfw({ folder = '' }: TableOptions): TableFirewall {
  const run = (...words: string[]): Promise<string> => runTool([`${folder}ipfw`, ...words]);
  const batch = async (commands: string): Promise<void> =>
    void (await runTool([`${folder}ipfw`, '-q', '/dev/stdin'], commands));
  const read = async (): Promise<ReturnType<typeof parseTables>> => parseTables(await run('table', 'all', 'list'));

  return {
    name: 'ipfw',
    bans: BANS,
    allowed: ALLOWED,
    live: LIVE,
    doorTable,
    rules: async (guard) => installCommands(guard),
    load: batch,
    tables: async () => (await read()).tables,
    destroy: (tables) => batch(tables.map((table) => `table ${table} destroy\n`).join('')),
    seed: (blocks) => {
      const lines = blocks.map((block) => `table ${LIVE} add ${block}\n`);
      return batch(`table ${LIVE} create type addr missing\n${lines.join('')}`);
    },
    add: async (table, block, remaining) => {
      const end = Math.min(Math.ceil((wallNow() + remaining) / 1000), 0xffff_ffff);
      await run('-q', 'table', table, 'add', block, `${end}`);
    },
    delete: async (table, block) => {
      try {
        await run('-q', 'table', table, 'delete', block);
      } catch (error) {
        if (!/not found/i.test((error as Error).message)) throw error;
      }
    },
    list: async () => {
      const grants: Grant[] = [];
      const bans: TimedSource[] = [];
      const allowed: TimedSource[] = [];
      for (const { table, source, value } of (await read()).entries) {
        const remaining = value === 0 ? Number.POSITIVE_INFINITY : Math.max(0, value * 1000 - wallNow());
        const door = doorOfTable(table);
        if (door !== undefined) grants.push({ door, source, remaining, comment: '' });
        else if (table === BANS) bans.push({ source, remaining });
        else if (table === ALLOWED) allowed.push({ source, remaining });
      }
      return { grants, bans, allowed };
    },
    remove: async () => batch(removeCommands((await read()).tables)),
    state: async () => {
      if (!isEnabled(await run('set', 'show'))) return undefined;
      const rules = await run('set', `${IN_FORCE}`, 'list');
      return rules.trim() === '' ? undefined : rules;
    },
  };
}
