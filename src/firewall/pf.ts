/**
 * The driver for pf (OpenBSD, FreeBSD, macOS): tables of an anchor (`tables.ts`). pf keeps neither times nor comments: lists show every
 * grant as endless, and the keeper's own record tells.
 *
 * It was written by the manuals and is tested against a stub of `pfctl` that records what it is told; it was never run on OpenBSD,
 * FreeBSD or macOS.
 */

import type { Address } from '../core/address.ts';
import { printPrefix } from '../core/policy.ts';
import { type FirewallDriver, FirewallError, type Grant, type TimedSource } from './driver.ts';
import {
  ALLOWED,
  ANCHOR,
  anchorRules,
  BANS,
  doorTable,
  LIVE,
  parseAnchor,
  parseTable,
  statesOf,
  TRUSTED,
} from './pf-rules.ts';
import { openTables, type TableFirewall, type TableOptions } from './tables.ts';
import { runTool } from './tool.ts';

export function openPf(options: TableOptions = {}): FirewallDriver {
  return openTables(pf(options), options);
}

function pf({ warn = () => {}, folder = '' }: TableOptions): TableFirewall {
  const pfctl = (words: readonly string[], input = ''): Promise<string> => runTool([`${folder}pfctl`, ...words], input);
  const anchor = (words: readonly string[], input = ''): Promise<string> => pfctl(['-a', ANCHOR, ...words], input);
  const table = (name: string, ...words: string[]): Promise<string> => anchor(['-t', name, '-T', ...words]);

  const tables = async (): Promise<string[]> => {
    try {
      const shown = await anchor(['-s', 'Tables']);
      return shown
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '');
    } catch (error) {
      if (isMissing(error)) return []; // The anchor has never had rules.
      throw error;
    }
  };
  const destroy = async (names: readonly string[]): Promise<void> => {
    for (const name of names) if (name !== TRUSTED) await table(name, 'kill');
  };
  const isEnabled = async (): Promise<boolean> => /^Status: Enabled/m.test(await pfctl(['-s', 'info']));
  const checkHost = async (): Promise<void> => {
    if (!(await isEnabled())) throw new FirewallError('pf is not enabled (pfctl -e)');
    const place = parseAnchor(await pfctl(['-s', 'rules']));
    if (place === 'missing') throw new FirewallError(`pf.conf has no line: anchor "${ANCHOR}"`);
    if (place === 'behind quick') {
      warn(`pf.conf has "quick" rules before the anchor "${ANCHOR}": what they decide is not guarded`);
    }
  };

  return {
    name: 'pf',
    bans: BANS,
    allowed: ALLOWED,
    live: LIVE,
    doorTable,
    rules: async (guard) => {
      await checkHost();
      return anchorRules(guard);
    },
    load: async (rules) => void (await anchor(['-f', '-'], rules)),
    tables,
    destroy,
    seed: async (blocks) => {
      if (blocks.length > 0) await table(LIVE, 'add', ...blocks);
    },
    add: async (name, block) => void (await table(name, 'add', block)),
    delete: async (name, block) => {
      try {
        await table(name, 'delete', block);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    },
    // Packets of a session that has a state never come to the rules.
    forget: async (source, protect) => {
      if (!protect) return void (await pfctl(['-k', printPrefix(source)]));
      const states = await pfctl(['-vv', '-s', 'states']);
      for (const id of statesOf(states, source, protect)) await pfctl(['-k', 'id', '-k', id]);
    },
    list: async (guard) => {
      const standing = new Set(await tables());
      const show = async (name: string): Promise<Address[]> =>
        standing.has(name) ? parseTable(await table(name, 'show')) : [];
      const remaining = Number.POSITIVE_INFINITY;
      const grants: Grant[] = [];
      for (const { name } of guard?.doors ?? []) {
        const sources = await show(doorTable(name));
        grants.push(...sources.map((source) => ({ door: name, source, remaining, comment: '' })));
      }
      const timed = async (name: string): Promise<TimedSource[]> =>
        (await show(name)).map((source) => ({ source, remaining }));
      return { grants, bans: await timed(BANS), allowed: await timed(ALLOWED) };
    },
    remove: async () => {
      await anchor(['-F', 'rules']);
      for (const name of await tables()) await table(name, 'kill');
    },
    state: async () => {
      if (!(await isEnabled()) || parseAnchor(await pfctl(['-s', 'rules'])) === 'missing') return undefined;
      const rules = await anchor(['-s', 'rules']);
      return rules.trim() === '' ? undefined : rules;
    },
  };
}

function isMissing(error: unknown): boolean {
  return /does not exist/i.test((error as Error).message);
}
