import type { Stall } from "../answers.ts";
import { formatDuration, secondsBetween } from "./quantity.ts";
import { wrap } from "./wrap.ts";

const INDENT = 5;

/** Where a boot stands still, in one line. */
export function summarizeStall({ symptom, since, attempts }: Stall): string {
  const again = attempts > 1 ? `, at ${attempts} boots in a row` : "";
  return `${symptom} (for ${formatDuration(secondsBetween(since, undefined))}${again})`;
}

/** What may keep it, each with what to do. */
export function formatCauses({ causes }: Stall, width: number): string {
  return causes
    .map(({ cause, remedy }, index) => {
      const lines = [`  ${index + 1}. ${cause}`, `${" ".repeat(INDENT)}-> ${remedy}`];
      return lines.map((line) => `${wrap(line, width, INDENT)}\n`).join("");
    })
    .join("");
}
