/** One column: what it shows of a row. Columns with `cut` give way when the table is too wide. */
export type Column<Row> = {
  title: string;
  show: (row: Row) => string;
  align?: "right";
  /** Where letters are left out when there is no room: an end says less than a middle, or the other way round. */
  cut?: "end" | "middle";
};

const GAP = "  ";
/** A column narrower than this tells nothing any more. */
const NARROWEST = 8;

/** Rows under their titles, at most `width` wide as long as the columns that may be cut leave room for it. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  // whoever writes a line break somewhere must not make up rows
  const cellOf = (row: Row) => columns.map(({ show }) => show(row).replaceAll("\n", "�"));
  const cells = [columns.map(({ title }) => title), ...rows.map(cellOf)];
  const widths = fit(
    columns,
    columns.map((_, index) => Math.max(...cells.map((line) => line[index]!.length))),
    width,
  );
  const lines = cells.map((line) =>
    line
      .map((cell, index) => {
        const { align, cut } = columns[index]!;
        const text = shorten(cell, widths[index]!, cut ?? "end");
        return align === "right" ? text.padStart(widths[index]!) : text.padEnd(widths[index]!);
      })
      .join(GAP)
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** The text in at most `width` letters, an ellipsis standing for what was left out. */
export function shorten(text: string, width: number, cut: "end" | "middle" = "end"): string {
  if (text.length <= width) return text;
  if (width < 2) return "…".slice(0, width);
  const tail = cut === "middle" ? Math.floor((width - 1) / 2) : 0;
  return `${text.slice(0, width - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** Takes from the widest column that may be cut, until it fits or there is no more to take. */
function fit(columns: readonly Column<never>[], natural: number[], width: number): number[] {
  const widths = [...natural];
  const floor = (index: number) => Math.min(natural[index]!, Math.max(NARROWEST, columns[index]!.title.length));
  let excess = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (widths.length - 1) - width;
  while (excess > 0) {
    let widest = -1;
    for (const [index, { cut }] of columns.entries()) {
      if (cut && widths[index]! > floor(index) && (widest < 0 || widths[index]! > widths[widest]!)) widest = index;
    }
    if (widest < 0) break;
    widths[widest]! -= 1;
    excess -= 1;
  }
  return widths;
}
