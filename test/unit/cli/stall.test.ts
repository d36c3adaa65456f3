import { describe, expect, it } from "vitest";
import type { Boot, Stall } from "../../../src/cli/answers.ts";
import { formatCauses, summarizeStall } from "../../../src/cli/text/stall.ts";
import { drawTimeline } from "../../../src/cli/text/timeline.ts";

const stall = (more: Partial<Stall> = {}): Stall => ({
  kind: "no-login",
  stage: "script",
  since: new Date(Date.now() - 90_500).toISOString(),
  symptom: "script sent, no iSCSI login",
  attempts: 1,
  causes: [
    { cause: "it can't reach the portal 10.77.0.1:3260", remedy: "let tcp port 3260 in" },
    { cause: "word ".repeat(30).trim(), remedy: "do ".repeat(40).trim() },
  ],
  ...more,
});

describe("a boot that stands still", () => {
  it("is told in a line", () => {
    expect(summarizeStall(stall())).toMatch(/^script sent, no iSCSI login \(for 1 min 3\d s\)$/);
    expect(summarizeStall(stall({ attempts: 3 }))).toMatch(/ s, at 3 boots in a row\)$/);
  });

  it("has its causes counted, each with what to do, in 80 columns", () => {
    const lines = formatCauses(stall(), 80).split("\n");
    expect(lines.slice(0, 2)).toEqual([
      "  1. it can't reach the portal 10.77.0.1:3260",
      "     -> let tcp port 3260 in",
    ]);
    expect(lines[2]).toMatch(/^ {2}2\. word/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    for (const line of lines.slice(3, -1)) expect(line).toMatch(/^ {5}/);
  });

  it("ends the picture of the boot", () => {
    const at = new Date().toISOString();
    const boot: Boot = {
      startedAt: at,
      lastAt: at,
      stages: [],
      refusals: [],
      stall: stall({ symptom: "x".repeat(90) }),
    };
    const last = drawTimeline(boot, 80).split("\n").at(-1);
    expect(last).toMatch(/^ {2}stalled: x+…$/);
    expect(last).toHaveLength(80);
  });
});
