import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { BootDecision, RefusalReason } from "../../../src/boot/boot-decision.ts";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { bootScript, foreignScript, type ScriptSituation } from "../../../src/boot/boot-script.ts";
import { scriptUrl } from "../../../src/boot/boot-urls.ts";
import { loadScriptTemplates, renderScript } from "../../../src/boot/script-template.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { bootEntry, mac } from "./boot-fixtures.ts";

const templates = loadScriptTemplates();
const situation: ScriptSituation = { mac, server: "10.20.0.1" as Ipv4, httpPort: 80, network: "rack2" };
const script = (decision: BootDecision) => bootScript(templates, decision, situation);

const mutual = bootEntry({
  chap: { user: "node-1-a", secret: "One0Two1Three2", reverse: { user: "back", secret: "Four4Five5Six6" } },
  portals: [
    { address: "10.20.0.1" as Ipv4, port: 3260 },
    { address: "10.20.0.2" as Ipv4, port: 3261 },
  ],
});
const reasons: RefusalReason[] = [
  "no-loader",
  "ipxe-lacks-http",
  "ipxe-lacks-iscsi",
  "wrong-network",
  "mode-unsupported",
  "boot-loop",
  "unarmed",
];
const decisions: BootDecision[] = [
  { kind: "sanboot", entry: bootEntry() },
  { kind: "sanboot", entry: mutual },
  { kind: "exit" },
  { kind: "hold" },
  { kind: "loader", file: "undionly.kpxe", protocol: "tftp" },
  ...reasons.map((reason): BootDecision => ({ kind: "refuse", reason, entry: bootEntry() })),
];
const all = [...decisions.map(script), foreignScript(templates, situation)];

const directory = mkdtempSync(join(tmpdir(), "ingot-scripts-"));
afterAll(() => rmSync(directory, { recursive: true }));

describe("boot scripts", () => {
  it("uses every template", () => {
    const used = new Set([...all.map((one) => one.name), "again.part", "sanboot-portal.part"]);
    expect(used).toEqual(new Set(templates.keys()));
  });

  it.each(all.map((one) => [one.name, one.text]))("%s can be read by iPXE and on a screen", (name, text) => {
    const lines = text.split("\n");
    expect(lines[0]).toBe("#!ipxe");
    expect(text).toMatch(/^[\x20-\x7e\n]+$/);
    expect(text).not.toContain("{{");
    expect(text, "the NIC that boots is not always the first").not.toMatch(/\bnet\d/);
    for (const line of lines.filter((one) => one.startsWith("echo "))) expect(line.length, line).toBeLessThan(85);
    expect(text, "echo takes it for an option").not.toMatch(/^echo -/m);
    const labels = lines.filter((line) => line.startsWith(":")).map((line) => line.slice(1));
    expect(new Set(labels).size).toBe(labels.length);
    for (const [, label] of text.matchAll(/\bgoto (\w+)/g)) expect(labels).toContain(label);
    // a command that fails ends the script, unless `||` follows
    for (const line of lines.filter((one) => /^(sanboot|chain|dhcp|prompt|isset|iseq)\b/.test(one)))
      expect(line).toContain("||");
    if (name !== "exit") expect(text).toContain(`chain --replace --autofree http://10.20.0.1/boot/${mac} ||\n`);
    if (name !== "sanboot") expect(text).not.toMatch(/password|s3cret|One0Two1|Four4Five5/);
  });

  it("attaches the disk with CHAP, and no credentials of an earlier script left over", () => {
    const { text } = script({ kind: "sanboot", entry: bootEntry() });
    expect(text).toContain("\nset initiator-iqn iqn.2026-11.org.ingot:node-1\n");
    expect(text).toContain("\nset username a-user\nset password s3cretsecret1\n");
    expect(text).toContain("\nset reverse-username \nset reverse-password \n");
    expect(text).toContain("\nsanboot --drive 0x80 iscsi:10.20.0.1::3260:1:iqn.2026-11.org.ingot:app-1:disk-1 ||\n");
  });

  it("tries several portals one by one, and proves the target with mutual CHAP", () => {
    const { text } = script({ kind: "sanboot", entry: mutual });
    expect(text.match(/^sanboot .*$/gm)).toEqual([
      "sanboot --drive 0x80 iscsi:10.20.0.1::3260:1:iqn.2026-11.org.ingot:app-1:disk-1 ||",
      "sanboot --drive 0x80 iscsi:10.20.0.2::3261:1:iqn.2026-11.org.ingot:app-1:disk-1 ||",
    ]);
    expect(text).toContain("\nset reverse-username back\nset reverse-password Four4Five5Six6\n");
  });

  it("writes the LUN in hexadecimal", () => {
    const { text } = script({ kind: "sanboot", entry: bootEntry({ lun: 26 }) });
    expect(text).toContain("iscsi:10.20.0.1::3260:1a:");
  });

  it("names the port of the boot server unless it is 80", () => {
    expect(scriptUrl(situation)).toBe(`http://10.20.0.1/boot/${mac}`);
    expect(scriptUrl({ ...situation, httpPort: 8080 })).toBe(`http://10.20.0.1:8080/boot/${mac}`);
  });

  const chap = (secret: string): Partial<BootEntry> => ({ chap: { user: "u", secret } });
  const misfits: [string, Partial<BootEntry>][] = [
    ["a newline", chap("abc\nshell")],
    ["a carriage return", chap("abc\rshell")],
    ["a blank", chap("abc || shell")],
    ["what iPXE expands", chap(`abc$\{net0/mac}`)],
    ["a leading dash", chap("-n")],
    ["nothing", chap("")],
    ["an end of line alone", { disk: "disk-1\n" }],
    ["a control character", { nodeName: "node\x1b[2J" }],
    ["a letter beyond ASCII", { iqn: "iqn.2026-11.org.ingot:ä" }],
    ["a portal that is none", { portals: [{ address: "10.20.0.1 --keep" as Ipv4, port: 3260 }] }],
    ["a port that is none", { portals: [{ address: "10.20.0.1" as Ipv4, port: 0 }] }],
  ];
  it.each(misfits)("refuses a value with %s, and does not tell it", (_name, changes) => {
    const render = () => script({ kind: "sanboot", entry: bootEntry(changes) });
    expect(render).toThrow(/does not fit into a script/);
    expect(render).not.toThrow(/abc|shell/);
  });

  it("refuses templates with unknown variables and values that are missing", () => {
    writeFileSync(join(directory, "odd.ipxe"), "#!ipxe\necho {{password}}\n");
    expect(() => loadScriptTemplates(directory)).toThrow(/odd.ipxe: there is no variable "password"/);
    expect(() => renderScript(templates, "hold", { mac })).toThrow(/the variable "again" has no value/);
    expect(() => renderScript(templates, "absent", {})).toThrow(/no such template/);
  });
});
