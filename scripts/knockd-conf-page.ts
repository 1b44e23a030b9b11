/** What knockd.conf(5) says of each key: knockd 0.8's own, with the defaults that it has in the source. A test holds that none is missing. */

export interface KnockdKey {
  /** With its other spelling and its value: `Start_Command = <command>`. */
  readonly term: string;
  readonly text: string;
}

export const OPTION_TERMS: readonly KnockdKey[] = [
  { term: 'UseSyslog', text: 'Log to syslog, with facility daemon. A word alone, without a value.' },
  { term: 'LogFile = <path>', text: 'Append the log to this file; goes before --logfile.' },
  { term: 'PidFile = <path>', text: 'Where the pid is written with --daemon; goes before --pidfile.' },
  {
    term: 'Interface = <name>',
    text: 'Where knocks are listened for: eth0 unless said here or with --interface, which goes before this.',
  },
];

export const DOOR_TERMS: readonly KnockdKey[] = [
  {
    term: 'Sequence = <port>[:<tcp|udp>][,<port>[:<tcp|udp>]...]',
    text: 'The knock: up to 32 ports, in this order. TCP unless said otherwise.',
  },
  {
    term: 'One_Time_Sequences = <path>',
    text: 'In place of Sequence: a file with one sequence a line, each good for one knock. A used one is marked with "#".',
  },
  {
    term: 'Seq_Timeout = <seconds>, Timeout = <seconds>',
    text: 'The time from the first packet of a knock to the last; 25 unless said otherwise.',
  },
  {
    term: 'TCPFlags = <flag>[,<flag>...]',
    text: 'Which TCP packets count: those with all of fin, syn, rst, psh, ack and urg that are named, and without those that have "!" before them. Every TCP packet, when the key is left out. No blanks in the list.',
  },
  { term: 'Target = <address>', text: 'The only destination that counts, in place of all addresses of the interface.' },
  {
    term: 'Start_Command = <command>, Command = <command>',
    text: 'What the shell runs for a right knock. %IP% in it is the address of who knocked.',
  },
  {
    term: 'Start_Command_6 = <command>, Command_6 = <command>',
    text: 'The same for IPv6 addresses. Empty: nothing runs for them. Left out: Start_Command does.',
  },
  {
    term: 'Cmd_Timeout = <seconds>',
    text: 'How long after Start_Command the Stop_Command runs; 10 unless said otherwise.',
  },
  {
    term: 'Stop_Command = <command>',
    text: 'What is run then. It is written to disk first, so it runs whatever becomes of the daemon.',
  },
  { term: 'Stop_Command_6 = <command>', text: 'The same for IPv6 addresses. Left out: Stop_Command runs.' },
];

/** A door that closes again. `postern check` has nothing to say about it. */
export const EXAMPLE: readonly string[] = [
  '[options]',
  '    UseSyslog',
  '',
  '[SSH]',
  '    sequence      = 7000,9000:udp,8000',
  '    seq_timeout   = 5',
  '    tcpflags      = syn',
  '    start_command = /sbin/iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
  '    cmd_timeout   = 30',
  '    stop_command  = /sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
];
