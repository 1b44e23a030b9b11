/** Would `posternd` use the folder of its state? For `postern check` and `postern doctor`. */

import { join } from 'node:path';
import { canMend } from '../platform/trust.ts';
import { whyUnusable } from '../store/database.ts';
import { STATE_FILE } from '../store/state.ts';

/** What is wrong with it, and the remedy; undefined when it is used, or cannot be looked at. A start mends what it can. */
export function judgeState(folder: string): { readonly message: string; readonly hint: string } | undefined {
  let why: string | undefined;
  try {
    why = canMend(folder) ? undefined : whyUnusable(join(folder, STATE_FILE));
  } catch {
    return undefined;
  }
  if (why === undefined) return undefined;
  const [message = '', hint = ''] = why.split(/: (?=[^:]*$)/);
  return {
    message: `${message}, so that the state in it is not used: grants and history are kept in memory`,
    hint: hint.charAt(0).toUpperCase() + hint.slice(1),
  };
}
