/** The branches before each row of a tree whose rows stand depth first: `│  └─ `. */
export function branches(rows: readonly { depth: number }[]): string[] {
  return rows.map(({ depth }, index) => {
    // whether, at each depth, another row follows before the tree turns back
    const goesOn = (level: number) => {
      const next = rows.slice(index + 1).find((row) => row.depth <= level);
      return next?.depth === level;
    };
    if (depth === 0) return "";
    const trunk = Array.from({ length: depth - 1 }, (_, above) => (goesOn(above + 1) ? "│  " : "   ")).join("");
    return `${trunk}${goesOn(depth) ? "├─ " : "└─ "}`;
  });
}
