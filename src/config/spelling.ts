/** What somebody probably meant who misspelt a key. */

const LONGEST_KEY = 18;

/** The known key nearest to a misspelt one (both of one case), when it is near enough to be meant. */
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
