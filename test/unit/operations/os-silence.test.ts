import { describe, expect, it } from "vitest";
import { judgeOs, type OsEvidence, type OsVerdict } from "../../../src/operations/os-silence.ts";

const S = 1000;
const longOpen = { openSince: -3600 * S };

describe("whether the OS of a node that asks is down", () => {
  const rows: [name: string, evidence: OsEvidence, now: number, verdict: OsVerdict][] = [
    ["silent for long before it asks", { askedAt: 60 * S, heardAt: 0, ...longOpen }, 60 * S, { kind: "gone" }],
    [
      "heard right before it asks",
      { askedAt: 60 * S, heardAt: 58 * S, ...longOpen },
      61 * S,
      { kind: "unsure", until: 70 * S },
    ],
    ["silent since, long enough", { askedAt: 60 * S, heardAt: 58 * S, ...longOpen }, 70 * S, { kind: "gone" }],
    ["heard after it asked", { askedAt: 60 * S, heardAt: 61 * S, ...longOpen }, 62 * S, { kind: "lives" }],
    ["heard after it asked, and no more", { askedAt: 60 * S, heardAt: 61 * S, ...longOpen }, 73 * S, { kind: "gone" }],
    [
      "portals that opened a moment ago",
      { askedAt: 60 * S, heardAt: 0, openSince: 50 * S },
      61 * S,
      { kind: "unsure", until: 80 * S },
    ],
    ["portals that are open for a while", { askedAt: 60 * S, heardAt: 0, openSince: 50 * S }, 80 * S, { kind: "gone" }],
    [
      "no portal open",
      { askedAt: 60 * S, heardAt: 0, openSince: undefined },
      999 * S,
      { kind: "unsure", until: undefined },
    ],
    [
      "no portal open, heard a moment ago",
      { askedAt: 60 * S, heardAt: 61 * S, openSince: undefined },
      62 * S,
      { kind: "lives" },
    ],
  ];
  it.each(rows)("%s", (_name, evidence, now, verdict) => {
    expect(judgeOs(evidence, now)).toEqual(verdict);
  });
});
