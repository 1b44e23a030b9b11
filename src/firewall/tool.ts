/** The firewall's own program, run to its end; what it complains of becomes the error. */

import { feedProgram } from '../platform/process.ts';
import { FirewallError } from './driver.ts';

const LIMITS = { timeout: 60_000, limit: 256 * 1024 * 1024 };

/** Resolves with what the program wrote. Rejects with a `FirewallError` unless it ended with status 0. */
export async function runTool(argv: readonly [string, ...string[]], input = ''): Promise<string> {
  const { ending, output, complaints } = await feedProgram(argv, input, LIMITS);
  if ('status' in ending && ending.status === 0) return output;
  if ('failed' in ending) throw new FirewallError(`cannot start ${argv[0]}: ${ending.failed}`);
  const said = complaints.split('\n').find((line) => line.trim() !== '' && !/^#|^Try `|ALTQ/.test(line));
  const how = 'signal' in ending ? `it was ended by ${ending.signal}` : `it ended with status ${ending.status}`;
  throw new FirewallError(`${argv[0]} says: ${said?.trim() ?? how}`);
}

/** An error as the refusal of an operation. What is no error is thrown as it is. */
export function refusal(what: string, error: unknown): FirewallError {
  if (!(error instanceof Error)) throw error;
  return new FirewallError(`${what}: ${error.message}`, { cause: error });
}
