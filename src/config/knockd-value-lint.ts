/**
 * What knockd swallows in a single value, and what stops it, each with a way out. knockd reads every number with `atoi`: text is
 * 0, trailing text is dropped, too much wraps; and there are no comments after a value. Values are byte strings.
 */

import { fromBytes, isText, trimSpace } from './knockd-lines.ts';
import { FLAG_BITS, type FlagItem, MAX_STEPS, type Sequence, type SequenceItem } from './knockd-values.ts';
import { type Finding, finding, quote } from './problem.ts';

const COMMENT_HINT = 'Put the comment on a line of its own: knockd has none after a value';
const PORT_HINT = 'Write a port number from 1 to 65535';

/** Everything about a `Sequence` value, or a line of a one-time file. An error for every item that knockd would refuse. */
export function lintSequence(sequence: Sequence): Finding[] {
  const { items, fault } = sequence;
  if (items.length === 1 && trimSpace(items[0]?.text ?? '') === '') {
    return [
      finding('warning', 'The sequence is empty: knockd reads it as port 0', 'Write ports, such as "7000,8000,9000"'),
    ];
  }
  const found: Finding[] = [];
  const comment = items.findIndex((item) => item.text.includes('#'));
  for (const [index, item] of items.slice(0, MAX_STEPS).entries()) {
    if (index === comment) {
      found.push(lintComment(sequence, index));
      break;
    }
    const last = index === items.length - 1;
    for (const about of lintItem(item, last)) found.push(about);
  }
  if (fault?.type === 'too-many') {
    const message = `Cannot use a sequence of ${items.length} ports: knockd takes at most ${MAX_STEPS}`;
    found.push(finding('error', message, 'Shorten it: three to five ports are as good'));
  }
  return found;
}

/** knockd reads on after a `#`, so commas and colons in the comment count. */
function lintComment(sequence: Sequence, index: number): Finding {
  const { items, fault } = sequence;
  if (fault && (fault.type === 'too-many' || fault.item >= index)) {
    return finding('error', 'Cannot parse the sequence: the text after "#" is part of it', COMMENT_HINT);
  }
  const first = trimSpace(items[index]?.text ?? '').startsWith('#') ? 1 : 0;
  const added = items.length - index - 1 + first;
  const message =
    added > 0
      ? `The text after "#" adds ${added} step${added > 1 ? 's' : ''} to the sequence`
      : 'The text after "#" is part of the sequence, and harmless only because it holds no comma';
  return finding('warning', message, COMMENT_HINT);
}

function* lintItem(item: SequenceItem, last: boolean): Generator<Finding> {
  const port = trimSpace(item.portText);
  if (item.number > 65535) {
    yield finding('error', `Cannot use port ${quote(fromBytes(port))}: the highest is 65535`, PORT_HINT);
  } else if (port === '' && item.protocolText === undefined) {
    yield last
      ? finding('warning', 'The trailing comma adds a last step to port 0', 'Remove the comma')
      : finding('warning', 'An empty item is a step to port 0', 'Remove one of the commas');
  } else {
    yield* lintPort(fromBytes(port), item.number & 0xffff);
  }
  if (!item.protocol) {
    const name = quote(fromBytes(item.protocolText ?? ''));
    const hint = /^[0-9]+$/.test(item.protocolText ?? '')
      ? 'Write every port of a range as its own step, such as "7000,7001"'
      : 'Write "tcp" or "udp" after the colon, or nothing for TCP';
    yield finding('error', `Cannot use the protocol ${name}: knockd knows tcp and udp`, hint);
  }
  if (item.text.split(':', 3).length > 2 && item.protocol) {
    yield finding(
      'warning',
      `The second colon in ${quote(fromBytes(item.text))} ends the item`,
      'Write one protocol per port',
    );
  }
}

function* lintPort(text: string, port: number): Generator<Finding> {
  const taken = `is taken as port ${port}`;
  if (/^\+?\d+$/.test(text)) {
    if (/^\+?0*$/.test(text)) yield finding('warning', 'Port 0 cannot be knocked: no client sends to it', PORT_HINT);
    else if (Number(text) > 65535)
      yield finding('warning', `The port ${quote(text)} overflows and ${taken}`, PORT_HINT);
  } else if (/^\d+\s*(?:-|\.\.+|–|~)\s*\d+$/.test(text)) {
    yield finding(
      'warning',
      `The range ${quote(text)} ${taken} alone`,
      'Write every port as its own step; there are no ranges',
    );
  } else if (/^0x[0-9a-f]+$/i.test(text)) {
    yield finding('warning', `The hexadecimal ${quote(text)} ${taken}`, `Write "${Number.parseInt(text, 16)}"`);
  } else if (/^-\s*\d+$/.test(text)) {
    yield finding('warning', `The negative port ${quote(text)} ${taken}`, PORT_HINT);
  } else if (/^\d/.test(text)) {
    const hint = /^\d+\s+\d+/.test(text) ? 'Put a comma between two ports' : PORT_HINT;
    yield finding('warning', `The port ${quote(text)} ${taken}: the rest is ignored`, hint);
  } else if (text === '') {
    yield finding('warning', 'The missing port before the colon is taken as port 0', PORT_HINT);
  } else {
    const hint = /^[a-z][\w-]*$/i.test(text) ? 'Write the number: service names are not looked up' : PORT_HINT;
    yield finding('warning', `The text ${quote(text)} ${taken}`, hint);
  }
}

/** All items of `TCPFlags` that knockd does not know, and flags that undo each other. */
export function lintFlags(items: readonly FlagItem[]): Finding[] {
  const found: Finding[] = [];
  const seen = new Map<number, boolean>();
  for (const { text, bit, negated } of items) {
    if (bit === undefined) found.push(lintUnknownFlag(text));
    else if (seen.has(bit) && seen.get(bit) !== negated) {
      const name = text.replace('!', '').toLowerCase();
      const message = `The flag "${name}" is asked for both ways: the last mention counts`;
      found.push(finding('warning', message, `Keep either "${name}" or "!${name}"`));
    }
    if (bit !== undefined) seen.set(bit, negated);
  }
  return found;
}

function lintUnknownFlag(text: string): Finding {
  const shown = fromBytes(text);
  const message = text === '' ? 'Cannot use an empty TCP flag' : `Cannot use the TCP flag ${quote(shown)}`;
  const plain = text.replaceAll(/[\s!]/g, '');
  if (text.includes('#')) return finding('error', message, COMMENT_HINT);
  if (FLAG_BITS.has(plain)) return finding('error', message, 'Write the list without spaces, such as "syn,!ack"');
  return finding(
    'error',
    message,
    'Write a list of fin, syn, rst, psh, ack and urg, each with "!" before it for "must be off"',
  );
}

const INT_MAX = 2 ** 31 - 1;
const LONGEST_WINDOW = 3600;

/** A number of seconds as knockd reads it; `seconds` is what `atoi` made of the value. */
export function lintSeconds(key: 'Seq_Timeout' | 'Cmd_Timeout', value: string, seconds: number): Finding[] {
  const text = fromBytes(value);
  const shown = quote(text);
  const example = key === 'Seq_Timeout' ? 'Seq_Timeout = 15' : 'Cmd_Timeout = 30';
  const hint = `Write a number of seconds, such as "${example}"`;
  const found: Finding[] = [];
  if (!/^[+-]?\d/.test(text)) found.push(finding('warning', `${key} ${shown} is not a number and counts as 0`, hint));
  else if (/^[+-]?\d+\s*#/.test(text)) {
    found.push(
      finding(
        'warning',
        `The text after "#" is part of ${key}, and ignored only because a number comes first`,
        COMMENT_HINT,
      ),
    );
  } else if (!/^[+-]?\d+$/.test(text))
    found.push(finding('warning', `${key} ${shown} is read as ${seconds} seconds`, hint));
  else if (Math.abs(Number(text)) > INT_MAX + 1) {
    found.push(finding('warning', `${key} ${shown} overflows and counts as ${seconds} seconds`, hint));
  }
  if (key === 'Cmd_Timeout' && seconds < 0) {
    found.push(finding('warning', 'A negative Cmd_Timeout waits about 136 years before the stop command', hint));
  }
  if (key === 'Seq_Timeout' && seconds <= 0) {
    found.push(finding('warning', `With Seq_Timeout ${seconds} every knock of more than one port is too late`, hint));
  }
  if (key === 'Seq_Timeout' && seconds > LONGEST_WINDOW) {
    found.push(finding('warning', `With Seq_Timeout ${seconds} a knock may take more than an hour`, hint));
  }
  return found;
}

/** A path or a name: emptiness, a comment that became part of it, and bytes that are not text. */
export function lintName(key: string, value: string): Finding[] {
  if (value === '') return [finding('warning', `${key} is empty`, `Write a value after "=", or remove the line`)];
  if (/\s#/.test(value)) {
    return [finding('warning', `The text after "#" is part of ${key}: ${quote(fromBytes(value))}`, COMMENT_HINT)];
  }
  return [];
}

/** Bytes that are not UTF-8 cannot be handed to a command or to the file system unchanged. */
export function lintText(key: string, value: string): Finding[] {
  if (isText(value)) return [];
  const message = `${key} holds bytes that are not UTF-8: each one becomes U+FFFD`;
  return [finding('warning', message, 'Save the file as UTF-8')];
}
