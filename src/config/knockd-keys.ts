/** The keys of knockd.conf: which section takes them, and their other spellings. */

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
