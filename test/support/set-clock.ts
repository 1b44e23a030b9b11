/**
 * Loaded into a daemon before its program (`node --import`): its wall clock, and nobody else's, is off by the milliseconds in the file that
 * TEST_CLOCK names, as if an administrator had set it. The monotonic clock goes on as ever. A file that is missing is an offset of 0.
 */

import { readFileSync } from 'node:fs';

const file = process.env.TEST_CLOCK ?? '';
const now = Date.now;
/** Looked for anew after so many milliseconds. */
const FRESH = 10;
let offset = 0;
let read = Number.NEGATIVE_INFINITY;

Date.now = () => {
  if (performance.now() - read > FRESH) {
    read = performance.now();
    try {
      offset = Number(readFileSync(file, 'utf8')) || 0;
    } catch {
      offset = 0;
    }
  }
  return now() + offset;
};
