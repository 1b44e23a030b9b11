/** ipset run for the iptables driver. Rejects with a `FirewallError` that says what ipset said. */

import { FirewallError, type Try } from './driver.ts';
import { isOurSet, parseElements, parseSavedSets, parseTries, type SetElement, triedSetName } from './ipset.ts';
import { runTool } from './tool.ts';

const LIST_TRIES = 3;

/** The names of our sets. */
export async function ourSets(): Promise<string[]> {
  return (await ipset(['list', '-name'])).split('\n').filter(isOurSet);
}

/** What is in these sets, asked of one process: `ipset save` alone would print everybody's, and several of them each other's again. */
export async function elementsOf(names: readonly string[]): Promise<SetElement[]> {
  if (names.length === 0) return [];
  for (let turn = 1; ; turn += 1) {
    const text = await ipset(['-output', 'save', '-'], names.map((name) => `list ${name}\n`).join(''));
    const seen = new Set(parseSavedSets(text));
    if (names.every((name) => seen.has(name))) return parseElements(text);
    if (turn === LIST_TRIES) throw new FirewallError('ipset lists only some of the sets');
  }
}

/** What is in the sets of tries; nothing where there is no guard. */
export async function triesIn(): Promise<readonly Try[]> {
  try {
    return parseTries(await ipset(['-output', 'save', '-'], `list ${triedSetName(4)}\nlist ${triedSetName(6)}\n`));
  } catch (error) {
    if (isMissingSet(error)) return [];
    throw error;
  }
}

/** Carries these lines out by one process. Adding what is there begins its time anew; what is missing is out already. */
export async function restoreSets(lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await ipset(['restore', '-exist'], `${lines.join('\n')}\n`);
}

export function ipset(argv: readonly string[], input = ''): Promise<string> {
  return runTool(['ipset', ...argv], input);
}

export function isMissingSet(error: unknown): boolean {
  return /set with the given name does not exist/.test((error as Error).message);
}
