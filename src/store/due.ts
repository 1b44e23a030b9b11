/** How long something that was written down may still last, by a clock that may have been set meanwhile. */

/**
 * Milliseconds until wall time `due`: none when it is past, and never more than `longest`, the time it had when it was written.
 * A clock set forward ends it early; a clock set back cannot prolong it beyond its own length from now.
 */
export function timeLeft(due: number, longest: number, wallNow: number): number {
  return Math.max(0, Math.min(due - wallNow, longest));
}
