/** All that a captured tarpit can send to the keeper: a few kinds of lines, read strictly. */

import assert from 'node:assert/strict';
import { decodeTarpitReport, encodeTarpitReport } from '../../src/core/tarpit-messages.ts';
import { fuzz } from '../support/fuzz.ts';

const decoder = new TextDecoder();

fuzz({
  name: '`decodeTarpitReport()`',
  samples: [
    'held 3 120 5',
    '{"type":"alive","number":7}',
    '{"type":"ready","confinement":{"landlock":7,"seccomp":true,"uid":65526,"notes":["a note"]}}',
  ].map((line) => ({ name: line.slice(0, 15), bytes: new TextEncoder().encode(line) })),
  words: ['held ', ' 0', '-1', '9007199254740993', '"type":', '"knock"', '"__proto__":{}', '\\u001b', '\n'],
  check: (bytes) => {
    const report = decodeTarpitReport(decoder.decode(bytes));
    if (report === undefined) return;
    const again = encodeTarpitReport(report);
    assert.match(again, /^[\x20-\x7e]*\n$/, 'what comes from the tarpit ends up on terminals');
    assert.deepEqual(decodeTarpitReport(again.trimEnd()), report);
  },
});
