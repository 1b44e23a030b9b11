/** What has to be taken out (`- line`) and put in (`+ line`) to make one list of lines into another; nothing when they are equal. */
export function diffLines(from: readonly string[], to: readonly string[]): string[] {
  // Longest common subsequence: common[i][j] lines are shared by from[i…] and to[j…].
  const common = Array.from({ length: from.length + 1 }, () => new Uint16Array(to.length + 1));
  for (let i = from.length - 1; i >= 0; i -= 1) {
    for (let j = to.length - 1; j >= 0; j -= 1) {
      const longer = Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
      common[i]![j] = from[i] === to[j] ? common[i + 1]![j + 1]! + 1 : longer;
    }
  }
  const edits: string[] = [];
  let i = 0;
  let j = 0;
  while (i < from.length || j < to.length) {
    if (i < from.length && j < to.length && from[i] === to[j]) {
      i += 1;
      j += 1;
    } else if (i < from.length && (j === to.length || common[i + 1]![j]! >= common[i]![j + 1]!)) {
      edits.push(`- ${from[i]}`);
      i += 1;
    } else {
      edits.push(`+ ${to[j]}`);
      j += 1;
    }
  }
  return edits;
}
