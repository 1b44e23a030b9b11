/** The tarpit, stage one: gives up what it can do without and becomes `main.ts`. Arguments are handed on; imports are few on purpose. */

import { entry } from '../platform/entry.ts';
import { enterConfinedRuntime } from '../platform/sandbox.ts';

const [parent, ...args] = process.argv.slice(2);
const [uid = 0, gid = 0] = (args[0] ?? '').split(':').map(Number);
const { script, modules } = entry('tarpit/main');
enterConfinedRuntime({
  script,
  args,
  readable: modules,
  descriptors: [3, ...args.slice(2).map(Number)],
  account: { uid, gid },
  parent: Number(parent),
});
