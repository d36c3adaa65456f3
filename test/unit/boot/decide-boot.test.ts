import { describe, expect, it } from "vitest";
import type { BootClient } from "../../../src/boot/boot-client.ts";
import type { BootDecision } from "../../../src/boot/boot-decision.ts";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { type BootSituation, decideBoot } from "../../../src/boot/decide-boot.ts";
import type { BootLoop, LoaderMemory } from "../../../src/boot/loader-memory.ts";
import { bootEntry, mac } from "./boot-fixtures.ts";

const loaders = {
  bios: ["undionly.kpxe", "ipxe.pxe"],
  "uefi-x64": ["snponly.efi", "ipxe.efi"],
  "uefi-http-x64": ["snponly.efi"],
};

const bios: BootClient = { mac, stage: "firmware", firmware: "bios", architecture: 0 };
const uefi: BootClient = { mac, stage: "firmware", firmware: "uefi-x64", architecture: 7 };
const http: BootClient = { mac, stage: "firmware", firmware: "uefi-http-x64", architecture: 16 };
const arm: BootClient = { mac, stage: "firmware", firmware: "uefi-arm64", architecture: 11 };
const odd: BootClient = { mac, stage: "firmware", architecture: 6 };
const os: BootClient = { mac, stage: "os" };
const ipxe = (can: string): BootClient => ({
  mac,
  stage: "ipxe",
  firmware: "bios",
  architecture: 0,
  hasHttp: can.includes("http"),
  hasIscsi: can.includes("iscsi"),
});
const full = ipxe("http iscsi");

const entry = bootEntry();
const ours = bootEntry({ loader: "ours" });
const stranger = { known: false };
const loader = (file: string, protocol: "tftp" | "http" = "tftp"): BootDecision => ({ kind: "loader", file, protocol });
const refuse = (reason: Extract<BootDecision, { kind: "refuse" }>["reason"], named?: BootEntry): BootDecision => ({
  kind: "refuse",
  reason,
  ...(named ? { entry: named } : {}),
});
const stream = bootEntry({ mode: "stream" });

const memory = (facts: Partial<LoaderMemory>): LoaderMemory => ({
  proven: [],
  rounds: 0,
  roundedAt: 0,
  reachedScript: false,
  ...facts,
});
const behind = (after: BootLoop["after"]): BootLoop => ({ rounds: 4, after });
const first = loader("snponly.efi");
const second = { ...loader("ipxe.pxe"), why: "undionly.kpxe led nowhere in the last attempt" };
const held = refuse("boot-loop", entry);

type Row = [
  situation: string,
  client: BootClient,
  facts: Partial<BootSituation>,
  dhcp: BootDecision,
  script?: BootDecision,
];
const rows: Row[] = [
  ["an OS with an entry", os, { entry }, { kind: "none" }],
  ["a BIOS with an entry", bios, { entry }, loader("undionly.kpxe")],
  ["a BIOS with an entry, asking again after the loader", bios, { entry, chained: true }, loader("undionly.kpxe")],
  ["UEFI with an entry", uefi, { entry }, loader("snponly.efi")],
  ["UEFI HTTP boot with an entry", http, { entry }, loader("snponly.efi", "http")],
  ["a firmware class without a loader", arm, { entry }, refuse("no-loader")],
  ["an architecture without a class", odd, { entry }, refuse("no-loader")],
  ["firmware without an entry", bios, {}, { kind: "exit" }],
  ["a capable iPXE with an entry", full, { entry }, { kind: "script" }, { kind: "sanboot", entry }],
  ["a capable iPXE without an entry", full, {}, { kind: "script" }, { kind: "exit" }],
  ["an iPXE without iSCSI, entry", ipxe("http"), { entry }, loader("undionly.kpxe"), loader("undionly.kpxe")],
  ["an iPXE without HTTP, entry", ipxe("iscsi"), { entry }, loader("undionly.kpxe")],
  ["an iPXE without HTTP, no entry", ipxe("iscsi"), {}, { kind: "none" }],
  ["an iPXE without iSCSI, no entry", ipxe("http"), {}, { kind: "script" }, { kind: "exit" }],
  ["our iPXE without iSCSI", ipxe("http"), { entry, chained: true }, { kind: "script" }, refuse("ipxe-lacks-iscsi")],
  ["our iPXE without HTTP", ipxe("iscsi"), { entry, chained: true }, refuse("ipxe-lacks-http")],
  [
    "an iPXE without iSCSI that never fetches ours",
    ipxe("http"),
    { entry, chained: true, unfetched: true },
    { kind: "script" },
    refuse("boot-loop", entry),
  ],
  ["a capable iPXE that never fetches ours", full, { entry: ours, chained: true, unfetched: true }, { kind: "script" }],
  ["a capable iPXE, loader ours", full, { entry: ours }, loader("undionly.kpxe"), loader("undionly.kpxe")],
  ["our iPXE, loader ours", full, { entry: ours, chained: true }, { kind: "script" }, { kind: "sanboot", entry: ours }],
  [
    "an iPXE that DHCP never heard, loader ours",
    { mac, stage: "ipxe", hasHttp: true, hasIscsi: true },
    { entry: ours },
    { kind: "script" },
    { kind: "sanboot", entry: ours },
  ],
  ["loader ours, none configured", full, { entry: ours, loaders: {} }, { kind: "script" }, refuse("no-loader")],
  ["a capable iPXE, none configured", full, { entry, loaders: {} }, { kind: "script" }, { kind: "sanboot", entry }],
  [
    "an entry of another NIC",
    bios,
    { entry: bootEntry({ mac: "52:54:00:00:00:99" as BootEntry["mac"] }) },
    { kind: "exit" },
  ],
  ["an entry of another network, firmware", bios, { entry, network: "rack2" }, loader("undionly.kpxe")],
  [
    "an entry of another network",
    full,
    { entry, network: "rack2" },
    { kind: "script" },
    refuse("wrong-network", entry),
  ],
  ["a deploy mode that is not served", full, { entry: stream }, { kind: "script" }, refuse("mode-unsupported", stream)],
  ["once, not booted yet", full, { entry: bootEntry({ once: true }) }, { kind: "script" }],
  ["once, booted", full, { entry: bootEntry({ once: true, bootedAt: 1 }) }, { kind: "script" }, { kind: "exit" }],
  ["unarmed: firmware", bios, { entry, armed: false }, loader("undionly.kpxe")],
  ["unarmed: a capable iPXE", full, { entry, armed: false }, { kind: "script" }, refuse("unarmed", entry)],
  ["unarmed: an iPXE without iSCSI", ipxe("http"), { entry, armed: false }, loader("undionly.kpxe")],
  [
    "unarmed: on another network",
    full,
    { entry, armed: false, network: "rack2" },
    { kind: "script" },
    refuse("wrong-network", entry),
  ],
  ["unarmed: without an entry", full, { armed: false }, { kind: "script" }, { kind: "exit" }],
  [
    "booted, but not once",
    full,
    { entry: bootEntry({ bootedAt: 1 }) },
    { kind: "script" },
    { kind: "sanboot", entry: bootEntry({ bootedAt: 1 }) },
  ],
  ["once, booted, firmware", bios, { entry: bootEntry({ once: true, bootedAt: 1 }) }, { kind: "exit" }],
  ["unknown, ignore: firmware", bios, { ...stranger, unknown: "ignore" }, { kind: "ignore" }],
  ["unknown, ignore: OS", os, { ...stranger, unknown: "ignore" }, { kind: "ignore" }],
  ["unknown, ignore: iPXE", full, { ...stranger, unknown: "ignore" }, { kind: "ignore" }, { kind: "exit" }],
  ["unknown, exit: firmware", uefi, { ...stranger, unknown: "exit" }, { kind: "exit" }],
  ["unknown, exit: iPXE", full, { ...stranger, unknown: "exit" }, { kind: "script" }, { kind: "exit" }],
  ["unknown, exit: OS", os, { ...stranger, unknown: "exit" }, { kind: "none" }],
  ["unknown, hold: firmware", bios, { ...stranger, unknown: "hold" }, loader("undionly.kpxe")],
  [
    "unknown, hold: iPXE without iSCSI",
    ipxe("http"),
    { ...stranger, unknown: "hold" },
    { kind: "script" },
    { kind: "hold" },
  ],
  ["unknown, hold: OS", os, { ...stranger, unknown: "hold" }, { kind: "none" }],
  ["a BIOS whose loader failed", bios, { entry, memory: memory({ failed: "undionly.kpxe" }) }, second],
  [
    "an iPXE to be replaced, whose loader failed",
    ipxe("http"),
    { entry, memory: memory({ failed: "undionly.kpxe" }) },
    second,
    second,
  ],
  ["a loop behind the loader: firmware", uefi, { entry, loop: behind("loader") }, held],
  ["a loop behind the script: firmware, which is sent to the screen", uefi, { entry, loop: behind("script") }, first],
  ["a loop: iPXE", full, { entry, loop: behind("script") }, { kind: "script" }, held],
  ["a loop: iPXE without iSCSI", ipxe("http"), { entry, loop: behind("loader") }, { kind: "script" }, held],
  ["a loop: iPXE without HTTP", ipxe("iscsi"), { entry, loop: behind("loader") }, held],
  [
    "a loop: iPXE, loader ours",
    full,
    { entry: ours, loop: behind("loader") },
    { kind: "script" },
    refuse("boot-loop", ours),
  ],
  ["a loop of a machine without an entry", bios, { loop: behind("loader") }, { kind: "exit" }],
  ["a loop, unknown, hold: firmware", bios, { ...stranger, unknown: "hold", loop: behind("loader") }, { kind: "exit" }],
];

const situation = (client: BootClient, facts: Partial<BootSituation>): BootSituation => ({
  armed: true,
  client,
  via: "dhcp",
  network: "rack1",
  known: true,
  unknown: "exit",
  loaders,
  chained: false,
  ...facts,
});

describe("decideBoot", () => {
  it.each(rows)("%s", (_name, client, facts, dhcp, script) => {
    expect(decideBoot(situation(client, facts))).toEqual(dhcp);
    if (script) expect(decideBoot(situation(client, { ...facts, via: "http" }))).toEqual(script);
  });

  /**
   * A machine that does what it is told, from every start there is, with a ROM and a loader of every ability:
   * it must come to rest after at most one chain of our iPXE beyond the firmware's own fetch.
   */
  it("never leads into a chainload loop, from any state", () => {
    const abilities = ["", "http", "iscsi", "http iscsi"];
    const starts: BootClient[] = [bios, uefi, http, arm, odd, os, ...abilities.map(ipxe)];
    const entries = [
      undefined,
      ...(["auto", "ours"] as const).flatMap((one) => [
        bootEntry({ loader: one }),
        bootEntry({ loader: one, mode: "copy" }),
        bootEntry({ loader: one, network: "rack2" }),
        bootEntry({ loader: one, once: true, bootedAt: 1 }),
      ]),
    ];
    let walks = 0;
    for (const start of starts)
      for (const ourAbility of abilities)
        for (const one of entries)
          for (const known of [true, false])
            for (const unknown of ["ignore", "exit", "hold"] as const)
              for (const chainedBefore of [false, true])
                for (const configured of [loaders, {}]) {
                  let client = start;
                  let chained = chainedBefore;
                  let via: "dhcp" | "http" = "dhcp";
                  const path: string[] = [];
                  for (;;) {
                    const facts = { known, entry: known ? one : undefined, unknown, chained, loaders: configured, via };
                    const decision = decideBoot(situation(client, facts));
                    path.push(`${client.stage} ${via} ${decision.kind}`);
                    if (path.length > 5) throw new Error(`no rest: ${path.join(", ")}`);
                    if (decision.kind === "loader") {
                      client = { ...ipxe(ourAbility), ...(client.firmware ? { firmware: client.firmware } : {}) };
                      chained = true;
                      via = "dhcp";
                    } else if (decision.kind === "script") {
                      expect(client.hasHttp).toBe(true);
                      via = "http";
                    } else break;
                  }
                  const chains = path.filter((step) => /^ipxe .* loader$/.test(step)).length;
                  expect(chains, path.join(", ")).toBeLessThanOrEqual(chainedBefore ? 0 : 1);
                  walks += 1;
                }
    expect(walks).toBe(10 * 4 * 9 * 2 * 3 * 2 * 2);
  });
});
