// The lines that two texts share and those that they do not: the longest common subsequence, which for a few hundred lines is quick enough.

/** Whether an element is the last of its list shows in the line before it, which nobody changed. */
const bare = (line) => line.replace(/,$/, "");

/** `[{kind: "same" | "gone" | "new", text}]` */
export function diff(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  const same = (i, j) => bare(a[i]) === bare(b[j]);
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i][j] = same(i, j) ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && same(i, j)) {
      lines.push({ kind: "same", text: b[j] });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) {
      lines.push({ kind: "gone", text: a[i++] });
    } else {
      lines.push({ kind: "new", text: b[j++] });
    }
  }
  return lines;
}
