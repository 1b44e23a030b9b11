/**
 * The contract, with a program as an administrator would write it: sh and nft, one table, a set for each door and family. It lets sessions
 * of every door go on, and keeps no times.
 */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { COMMAND_PROGRAM } from '../support/command-program.ts';
import { firewallContract } from '../support/firewall-contract.ts';
import { openNamespaceStage } from '../support/firewall-stage.ts';
import { unavailable } from '../support/netns.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-command-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const program = join(folder, 'firewall');
writeFileSync(program, COMMAND_PROGRAM);
chmodSync(program, 0o755);
// The programs of the stage inherit it.
process.env.POSTERN_TEST_COMMAND = program;

const sessions = 'what becomes of sessions is the matter of the program, and this one lets them go on';
firewallContract('command', unavailable('nft'), () => openNamespaceStage('command'), {
  time: 'the keeper ends the grants of this driver',
  cut: sessions,
  kill: sessions,
  comments: 'lists of a program have neither times nor comments',
});
