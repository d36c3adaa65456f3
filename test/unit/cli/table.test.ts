import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Column, formatTable, shorten } from "../../../src/cli/text/table.ts";

type Row = { id: string; what: string; path: string };
const COLUMNS: Column<Row>[] = [
  { title: "ID", show: ({ id }) => id },
  { title: "WHAT", show: ({ what }) => what, cut: "end" },
  { title: "PATH", show: ({ path }) => path, cut: "middle" },
];
const widest = (text: string) => Math.max(...text.split("\n").map((line) => line.length));

describe("tables", () => {
  it("stay as they are when they fit", () => {
    expect(formatTable(COLUMNS, [{ id: "op-1", what: "import", path: "/a/b" }], 80)).toBe(
      "ID    WHAT    PATH\nop-1  import  /a/b\n",
    );
  });

  it("have one line for each row, whatever it holds", () => {
    const forged = formatTable(COLUMNS, [{ id: "op-1", what: "import", path: "/v1/\nop-2  import  /b" }], 80);
    expect(forged).toBe("ID    WHAT    PATH\nop-1  import  /v1/�op-2  import  /b\n");
  });

  it("shorten the widest column that may be, and never one that may not", () => {
    const row = { id: "op-7k2m9q4x0b3d", what: "x".repeat(100), path: `/var/lib/${"y".repeat(40)}/end.raw` };
    const table = formatTable(COLUMNS, [row], 80);
    expect(widest(table)).toBe(80);
    expect(table).toContain("op-7k2m9q4x0b3d");
    expect(table).toMatch(/xxx…/);
    expect(table).toMatch(/\/var\/lib\/y+….*end\.raw/);
  });

  it("fit their width whatever they hold, as long as the fixed columns do", () => {
    const text = fc.string({ unit: "grapheme-ascii", maxLength: 120 });
    const rows = fc.array(
      fc.record({ id: fc.string({ unit: "grapheme-ascii", maxLength: 20 }), what: text, path: text }),
    );
    fc.assert(
      fc.property(rows, fc.integer({ min: 45, max: 120 }), (some, width) => {
        expect(widest(formatTable(COLUMNS, some, width))).toBeLessThanOrEqual(width);
      }),
    );
  });

  it("align numbers to the right", () => {
    const columns: Column<number>[] = [
      { title: "SIZE", show: String, align: "right" },
      { title: "X", show: () => "x" },
    ];
    expect(formatTable(columns, [5, 10_000], 80)).toBe(" SIZE  X\n    5  x\n10000  x\n");
  });
});

describe("shortened text", () => {
  it.each([
    ["abcdef", 6, "end", "abcdef"],
    ["abcdef", 5, "end", "abcd…"],
    ["abcdefghi", 5, "middle", "ab…hi"],
    ["abcdef", 1, "end", "…"],
    ["abcdef", 0, "end", ""],
  ] as const)("%s in %i letters, cut at the %s: %s", (text, width, cut, short) => {
    expect(shorten(text, width, cut)).toBe(short);
  });
});
