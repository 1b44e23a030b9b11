/** The keys of knockd.conf: which section takes them, their other spellings, and the nearest one to a misspelt key. */

export type DoorKey =
  | 'Sequence'
  | 'One_Time_Sequences'
  | 'Seq_Timeout'
  | 'TCPFlags'
  | 'Target'
  | 'Start_Command'
  | 'Start_Command_6'
  | 'Cmd_Timeout'
  | 'Stop_Command'
  | 'Stop_Command_6';

export type OptionKey = 'LogFile' | 'PidFile' | 'Interface';

/** By the upper-cased spelling; `Timeout`, `Command` and `Command_6` are other names. */
export const DOOR_KEYS: ReadonlyMap<string, DoorKey> = new Map<string, DoorKey>([
  ['SEQUENCE', 'Sequence'],
  ['ONE_TIME_SEQUENCES', 'One_Time_Sequences'],
  ['SEQ_TIMEOUT', 'Seq_Timeout'],
  ['TIMEOUT', 'Seq_Timeout'],
  ['TCPFLAGS', 'TCPFlags'],
  ['TARGET', 'Target'],
  ['START_COMMAND', 'Start_Command'],
  ['COMMAND', 'Start_Command'],
  ['START_COMMAND_6', 'Start_Command_6'],
  ['COMMAND_6', 'Start_Command_6'],
  ['CMD_TIMEOUT', 'Cmd_Timeout'],
  ['STOP_COMMAND', 'Stop_Command'],
  ['STOP_COMMAND_6', 'Stop_Command_6'],
]);

export const OPTION_KEYS: ReadonlyMap<string, OptionKey> = new Map<string, OptionKey>([
  ['LOGFILE', 'LogFile'],
  ['PIDFILE', 'PidFile'],
  ['INTERFACE', 'Interface'],
]);

/** The one word that stands alone, in any section. */
export const USE_SYSLOG = 'USESYSLOG';

const LONGEST_KEY = 18;

/** The known key nearest to a misspelt one (both upper-cased), when it is near enough to be meant. */
export function nearestKey(key: string, known: Iterable<string>): string | undefined {
  if (key.length > LONGEST_KEY + 3) return undefined;
  const plain = key.replace(/[-_ ]/g, '');
  let best: string | undefined;
  let least = Math.max(1, Math.floor(plain.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, candidate.replaceAll('_', ''));
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(x: string, y: string): number {
  let row = Array.from({ length: y.length + 1 }, (_, i) => i);
  for (let i = 1; i <= x.length; i++) {
    const next = [i];
    for (let j = 1; j <= y.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (x[i - 1] === y[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[y.length] ?? 0;
}
