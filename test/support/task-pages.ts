/** The task pages of doc/ as programs: their configurations, and their commands with the host whose prompt stands before each. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const TASK_PAGES = ['first-door', 'revoke', 'reload', 'container-port', 'ufw'] as const;
export type TaskPage = (typeof TASK_PAGES)[number];

export type PageStep =
  /** The whole of /etc/postern/postern.toml from here on. */
  | { readonly kind: 'config'; readonly text: string; readonly line: number }
  | { readonly kind: 'command'; readonly host: 'server' | 'client'; readonly command: string; readonly line: number };

/** What a page has its reader do, in order. Throws on a block that is neither a configuration nor commands. */
export function readTaskPage(page: TaskPage): readonly PageStep[] {
  const steps: PageStep[] = [];
  let block: { readonly language: string; readonly line: number; text: string } | undefined;
  const text = readFileSync(join(import.meta.dirname, `../../doc/${page}.md`), 'utf8');
  for (const [index, words] of text.split('\n').entries()) {
    const line = index + 1;
    const fence = /^```(.*)$/.exec(words);
    if (fence && block === undefined) {
      block = { language: fence[1]!, line, text: '' };
      if (!['toml', 'console'].includes(block.language)) throw new Error(`${page}.md:${line}: what is this block?`);
    } else if (fence) {
      if (block?.language === 'toml') steps.push({ kind: 'config', text: block.text, line: block.line });
      block = undefined;
    } else if (block?.language === 'toml') {
      block.text += `${words}\n`;
    } else if (block) {
      const [, host, command] = /^(server|client)[#$] (.+)$/.exec(words) ?? [];
      if (command === undefined) throw new Error(`${page}.md:${line}: no prompt`);
      steps.push({ kind: 'command', host: host as 'server' | 'client', command, line });
    }
  }
  return steps;
}
