/** What differs between two texts, line by line: `- ` gone, `+ ` new, and `  ` a line of what surrounds them. Short files, so the plain way. */

/** Empty when they are the same. Lines far from any change are left out, with `...` in their place. */
export function diffLines(before: string, after: string, context = 2): readonly string[] {
  const [old, now] = [linesOf(before), linesOf(after)];
  const lengths = commonLengths(old, now);
  const lines: { readonly mark: '-' | '+' | ' '; readonly text: string }[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ mark: ' ', text: old[i]! });
      i += 1;
      j += 1;
    } else if (j >= now.length || (i < old.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) {
      lines.push({ mark: '-', text: old[i]! });
      i += 1;
    } else {
      lines.push({ mark: '+', text: now[j]! });
      j += 1;
    }
  }
  const isNear = (at: number): boolean =>
    lines.slice(Math.max(0, at - context), at + context + 1).some(({ mark }) => mark !== ' ');
  return lines.flatMap(({ mark, text }, at) => {
    if (isNear(at)) return [`${mark} ${text}`];
    return at > 0 && isNear(at - 1) && lines.slice(at).some(({ mark: later }) => later !== ' ') ? ['...'] : [];
  });
}

function linesOf(text: string): readonly string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

/** Of each pair of places: how many lines the rests of both have in common, in order. */
function commonLengths(old: readonly string[], now: readonly string[]): readonly (readonly number[])[] {
  const lengths = Array.from({ length: old.length + 1 }, () => new Array<number>(now.length + 1).fill(0));
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      lengths[i]![j] =
        old[i] === now[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
    }
  }
  return lengths;
}
