/**
 * `postern check`: every problem of a configuration at once, be it a postern.toml or a knockd.conf, and what this host's own firewall
 * would do to it; exit 0 when a daemon would take it, 1 when not.
 */

import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { KnockdConfig } from '../config/knockd-conf.ts';
import { type PosternConfig, tarpitPort } from '../config/postern-config.ts';
import { finding, type Problem, printProblem, quote } from '../config/problem.ts';
import { preflight } from '../firewall/preflight.ts';
import { CAP_NET_ADMIN, hasCapability } from '../platform/capabilities.ts';
import { interfaceNames } from '../platform/interfaces.ts';
import { DEFAULT_CONFIG, KNOCKD_CONFIG, usualConfig } from './daemon-socket.ts';
import { hintForMissing } from './first-file.ts';
import { splitInterfaces } from './knockd-settings.ts';
import { absolute, loadKnockdConf } from './load-knockd-conf.ts';
import { isPosternToml, type LoadedToml, loadPosternToml } from './load-postern-toml.ts';
import { judgeState } from './state-lint.ts';
import { paintFor, type Terminal } from './terminal.ts';
import { count } from './wording.ts';

export function addCheck(program: Command, end: (status: number) => void, terminal: Terminal): void {
  program
    .command('check')
    .description('check a configuration, and as root the host around it, and name all problems')
    .argument(
      '[file]',
      `the configuration (default: that of --config, else ${DEFAULT_CONFIG}, or ${KNOCKD_CONFIG} where there is none)`,
    )
    .option('--strict', 'warnings count as errors', false)
    .option('--json', 'print the problems as one JSON array', false)
    .action(async (given: string | undefined, options: { strict: boolean; json: boolean }) => {
      const { stdout, stderr, environment } = terminal;
      const named = given ?? program.opts<{ config?: string }>().config;
      const file = named ?? usualConfig();
      const path = absolute(file);
      // On the first line, so that nobody corrects one file and checks another.
      if (named === undefined && !options.json)
        stdout.write(`Checking ${file}${file === DEFAULT_CONFIG ? '' : ` (there is no ${DEFAULT_CONFIG})`}\n`);
      const isNative = isPosternToml(path);
      const loaded = isNative
        ? loadPosternToml(path, { shownAs: file, strict: options.strict })
        : loadKnockdConf(path, { shownAs: file, strict: options.strict, once: true });
      const host = [
        ...lintSecrecy(path, file),
        ...(loaded.config && isNative ? lintState(loaded.config as PosternConfig, file) : []),
        ...(loaded.config && isNative ? await lintHost(loaded.config as PosternConfig, file) : []),
        ...(loaded.config && !isNative ? lintInterface(loaded.config as KnockdConfig, file) : []),
      ];
      const problems = [...loaded.problems, ...host];
      if (options.json) stdout.write(`${JSON.stringify(problems)}\n`);
      else
        for (const line of [
          ...loaded.complaints,
          ...(isNative ? hintForMissing(loaded as LoadedToml, file) : []),
          ...host.map(printProblem),
        ])
          stderr.write(`${line}\n`);
      if (!loaded.config) return end(1);
      if (options.strict && host.length > 0) {
        stderr.write(`${file}: refused because of its warnings (--strict)\n`);
        return end(1);
      }
      const warnings = problems.filter(({ severity }) => severity === 'warning').length;
      const doubts = warnings === 0 ? '' : `, ${count(warnings, 'warning')}`;
      const good = paintFor(stdout, environment)('green', 'ok');
      if (!options.json) stdout.write(`${file}: ${good}: ${count(loaded.config.doors.length, 'door')}${doubts}\n`);
      end(0);
    });
}

/** The sequences are secrets. */
function lintSecrecy(path: string, file: string): Problem[] {
  try {
    if ((statSync(path).mode & 0o004) === 0) return [];
  } catch {
    return [];
  }
  const message = 'Everybody on this machine can read it, and with it the knocks';
  return [{ file, line: 0, ...finding('warning', message, `Run chmod 600 ${file}`) }];
}

function lintState({ state }: PosternConfig, file: string): Problem[] {
  const found = judgeState(state.dir);
  return found ? [{ file, line: 0, ...finding('warning', found.message, found.hint) }] : [];
}

/** What a postern.toml is told of its interfaces by its own lint. */
function lintInterface({ interface: name }: KnockdConfig, file: string): Problem[] {
  const there = interfaceNames();
  if (!name || there === undefined) return [];
  const missing = splitInterfaces(name).filter((each) => each !== 'any' && !there.includes(each));
  return missing.map((each) => {
    const message = `There is no interface ${quote(each)}: knockd does not start before it is there`;
    return { file, line: 0, ...finding('warning', message, `The interfaces here are ${there.join(', ')}`) };
  });
}

/** Would the host's own firewall let in who has a grant? Only root can see. */
async function lintHost(config: PosternConfig, file: string): Promise<Problem[]> {
  const { doors, firewall } = config;
  if (process.platform !== 'linux' || !hasCapability(CAP_NET_ADMIN)) return [];
  const found = await preflight(doors, firewall.face, firewall.driver, tarpitPort(config));
  return found
    .filter(({ severity }) => severity !== 'note')
    .map(({ message, hint }) => ({ file, line: 0, ...finding('warning', message, hint) }));
}
