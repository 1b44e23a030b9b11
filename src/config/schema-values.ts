/**
 * The kinds of values of postern.toml: what each reads, what editors check of it, and how a person is told to write it.
 */

import * as v from 'valibot';
import { type Address, parseAddress } from '../core/address.ts';
import { RESERVED_NAMES } from '../core/policy.ts';
import { FLAG_BITS } from './knockd-values.ts';
import { PORTS_PATTERN, parsePorts, parseStep, STEP_PATTERN } from './ports.ts';
import { PREFIX_PATTERN, parsePrefix } from './prefix.ts';
import { quote } from './problem.ts';
import { DURATION_PATTERN, parseSize, SIZE_PATTERN } from './quantity.ts';
import { fault, type Reading } from './reading.ts';
import { complaint, durationBetween, text } from './schema-parts.ts';

const DOOR_NAME = `(?!(?:${RESERVED_NAMES.join('|')})$)[A-Za-z][A-Za-z0-9_-]{0,31}`;

export function duration(least: string, most: string) {
  return text(durationBetween(least, most), {
    wanted: 'a duration such as "30s"',
    pattern: DURATION_PATTERN,
    range: `from ${least} to ${most}`,
  });
}

export function wholeNumber(least: number, most: number) {
  const inRange = v.check<number, string>(
    (number) => Number.isSafeInteger(number) && number >= least && number <= most,
    '',
  );
  return v.pipe(v.number(), inRange, v.metadata({ least, most }));
}

export function choice<const T extends readonly string[]>(options: T) {
  return v.picklist(options);
}

export const ports = text(parsePorts, { wanted: 'ports such as "tcp/22" or "tcp/8000-8010"', pattern: PORTS_PATTERN });
export const step = text(parseStep, { wanted: 'a step such as "tcp/7000"', pattern: STEP_PATTERN });
export const prefix = text(parsePrefix, {
  wanted: 'an address or a block such as "192.0.2.0/24"',
  pattern: PREFIX_PATTERN,
});
export const size = text(parseSize, { wanted: 'a size such as "100MB"', pattern: SIZE_PATTERN });
export const path = text(readPath, { wanted: 'a path such as "/var/lib/postern"', pattern: '^[^\\u0000]+$' });
const argument = text(readArgument, { wanted: 'a word such as "--verbose"', pattern: '^[^\\u0000]*$' });
export const interfaceName = text(readInterface, {
  wanted: 'an interface such as "eth0"',
  pattern: '^[^\\s/\\u0000]{1,15}$',
});
export const target = text(readTarget, { wanted: 'an address of this machine', pattern: '^[0-9a-fA-F:.]{2,45}$' });
export const flag = text(readFlag, {
  wanted: 'a flag such as "syn" or "!ack"',
  pattern: '^!?([Ff][Ii][Nn]|[Ss][Yy][Nn]|[Rr][Ss][Tt]|[Pp][Ss][Hh]|[Aa][Cc][Kk]|[Uu][Rr][Gg])$',
});
/** The name of a door. */
export const doorName = text(readDoorName, { wanted: 'a name', pattern: `^${DOOR_NAME}$` });

/** The words of a program to run, the first its whole path. */
export const command = v.pipe(
  v.array(argument),
  v.minLength(1),
  v.rawCheck(({ dataset, addIssue }) => {
    const program = dataset.typed ? dataset.value[0] : undefined;
    if (program === undefined || program.startsWith('/')) return;
    const message = `Cannot run ${quote(program)}: a program is named by its whole path`;
    const hint = /\s/.test(program)
      ? 'Write every word as an item of its own: ["/usr/local/bin/told", "--door"]'
      : 'Write the path that "command -v" shows, such as "/usr/bin/logger"';
    addIssue({ message: complaint({ message, hint }) });
  }),
);

function readPath(value: string): Reading<string> {
  if (value.trim() === '') return fault('Cannot use an empty path', 'Write a path, or remove the line for the default');
  if (value.includes('\0')) return fault(`Cannot use the path ${quote(value)}`, 'Remove the NUL character');
  if (value.startsWith('~'))
    return fault(
      `Cannot use the path ${quote(value)}: "~" is the shell's`,
      'Write the whole path, such as "/root/postern"',
    );
  return { value };
}

function readArgument(value: string): Reading<string> {
  return value.includes('\0')
    ? fault(`Cannot use ${quote(value)} in a command`, 'Remove the NUL character')
    : { value };
}

/** What the kernel takes for a name (dev_valid_name): 15 bytes, neither blanks nor slashes. */
function readInterface(value: string): Reading<string> {
  const message = `Cannot use the interface ${quote(value)}`;
  if (value.trim() === '') return fault(message, 'Write a name that "ip link" shows');
  if (/[\s,]/.test(value)) return fault(message, 'Write every interface as an item of its own: ["eth0", "eth1"]');
  if (
    value.includes('/') ||
    value.includes('\0') ||
    value.includes(':') ||
    value === '.' ||
    value === '..' ||
    Buffer.byteLength(value) > 15
  ) {
    return fault(message, 'Write a name that "ip link" shows, such as "eth0"');
  }
  return { value };
}

function readTarget(value: string): Reading<Address> {
  const address = parseAddress(value);
  if (address) return { value: address };
  return fault(
    `Cannot read the address ${quote(value)}`,
    'Write one address of this machine, such as "192.0.2.1", or leave target out',
  );
}

/** A flag in lower case. */
function readFlag(value: string): Reading<string> {
  if (FLAG_BITS.has(value.replace(/^!/, '').toUpperCase())) return { value: value.toLowerCase() };
  const names = [...FLAG_BITS.keys()].map((name) => name.toLowerCase()).join(', ');
  return fault(`Cannot read the TCP flag ${quote(value)}`, `Write flags such as "syn" or "!ack"; there are ${names}`);
}

function readDoorName(value: string): Reading<string> {
  const message = `Cannot use the name ${quote(value)} for a door`;
  if (new RegExp(`^${DOOR_NAME}$`).test(value)) return { value };
  if (RESERVED_NAMES.includes(value)) return fault(`${message}: lines of the log begin with it`, 'Choose another name');
  if (/^[A-Za-z][\w-]*$/.test(value))
    return fault(`${message}: it is longer than 32 characters`, 'Write a shorter name');
  return fault(message, 'Write a letter, then letters, digits, "_" and "-", such as [door.ssh]');
}
