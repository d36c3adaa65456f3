const BAR_WIDTH = 20;

/** A share as a bar: `██████████░░░░░░░░░░`. */
export function formatBar(share: number): string {
  return "█".repeat(Math.round(Math.min(1, share) * BAR_WIDTH)).padEnd(BAR_WIDTH, "░");
}
