/**
 * Stage one of every confined program: gives up what a starting runtime can do without and becomes the program. Arguments: who started it, the
 * program, `UID:GID` to become, then the program's own. Imports are few on purpose.
 */

import { entry } from '../platform/entry.ts';
import { enterConfinedRuntime } from '../platform/sandbox.ts';

const [parent, program = '', ...args] = process.argv.slice(2);
const [uid = 0, gid = 0] = (args[0] ?? '').split(':').map(Number);
const { script, modules } = entry(program);
enterConfinedRuntime({
  script,
  args,
  readable: modules,
  // The channel; a watcher and a tarpit name what else they have after their first two arguments.
  descriptors: [3, ...args.slice(2).map(Number)],
  account: { uid, gid },
  parent: Number(parent),
});
