/**
 * NODE_OPTIONS belongs to whoever called us and was meant for another Node, which may know other options. Programs of ours that
 * start on the brought runtime do not read it; the commands of a configuration get it as it was. `bin/launch.cjs` does the same.
 */

const OPTIONS = 'NODE_OPTIONS';
const PARKED = 'POSTERN_NODE_OPTIONS';

/** The environment for a program of ours, which calls `unparkNodeOptions` before it runs commands. */
export function parkNodeOptions(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { [OPTIONS]: options, ...rest } = env;
  return options === undefined ? env : { ...rest, [PARKED]: options };
}

/** Puts back what `parkNodeOptions` set aside. */
export function unparkNodeOptions(env: NodeJS.ProcessEnv): void {
  const options = env[PARKED];
  if (options === undefined) return;
  env[OPTIONS] = options;
  delete env[PARKED];
}
