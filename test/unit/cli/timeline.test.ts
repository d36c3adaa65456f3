import { describe, expect, it } from "vitest";
import type { Boot } from "../../../src/cli/answers.ts";
import { drawTimeline } from "../../../src/cli/text/timeline.ts";

const START = Date.parse("2026-11-20T12:00:00.000Z");
const stage = (name: string, seconds: number, more: Partial<Boot["stages"][number]> = {}) => ({
  stage: name,
  at: new Date(START + seconds * 1000).toISOString(),
  sinceStartSeconds: seconds,
  times: 1,
  ...more,
});
const boot = (stages: Boot["stages"], refusals: Boot["refusals"] = []): Boot => ({
  firmware: "uefi-x64",
  network: "prov",
  startedAt: new Date(START).toISOString(),
  lastAt: new Date(START).toISOString(),
  stages,
  refusals,
});

describe("the picture of a boot", () => {
  it("shows when each stage was reached and how long it took", () => {
    const picture = drawTimeline(
      boot([
        stage("power-on", 0),
        stage("dhcp-firmware", 6, { address: "10.20.0.11", decision: "loader" }),
        stage("boot-file", 7, { file: "snponly.efi", bytes: 1_048_576, transferSeconds: 0.4, retransmissions: 2 }),
        stage("iscsi-login-os", 18),
        stage("ready", 24),
      ]),
      80,
    );
    const [title, ...lines] = picture.split("\n");
    expect(title).toMatch(/ on prov, uefi-x64: OS ready after 24 s$/);
    expect(lines).toEqual([
      "  power on              0.0 s  ▏",
      "  DHCP, firmware        6.0 s  ██████                    10.20.0.11, loader",
      "  boot file             7.0 s        █                   snponly.efi, 1.0 MiB i…",
      "  iSCSI login, OS        18 s         ███████████",
      "  OS ready               24 s                    ██████",
    ]);
  });

  it("stays within its width", () => {
    const long = "x".repeat(200);
    const picture = drawTimeline(
      boot(
        [stage("power-on", 0), stage("boot-file", 1e6, { file: long })],
        [{ reason: long, at: new Date(START).toISOString(), times: 3 }],
      ),
      80,
    );
    for (const line of picture.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    expect(picture).toContain("refused: xxx");
  });

  it("holds one stage, or none", () => {
    expect(drawTimeline(boot([stage("power-on", 0)]), 80)).toContain("power on after 0.0 s");
    expect(drawTimeline(boot([]), 80)).toContain("nothing yet");
  });
});
