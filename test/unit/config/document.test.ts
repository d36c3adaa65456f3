import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { configRows, configTable, withConfigTable } from "../../../src/config/document.ts";

const readme = join(import.meta.dirname, "../../../README.md");
const row = (key: string) => configRows().find((one) => one.key === key);

describe("the table of keys", () => {
  it("tells type, default and whether a restart is needed", () => {
    expect(row("networks[].subnet")).toEqual({
      key: "networks[].subnet",
      type: "subnet",
      fallback: "required",
      restart: true,
      description: "The network's addresses.",
    });
    expect(row("networks[].leaseSeconds")).toMatchObject({ type: "seconds", fallback: "`3600`", restart: true });
    expect(row("networks[].unknown")).toMatchObject({ fallback: "`exit`", restart: false });
    expect(row("networks[].mtu")).toMatchObject({ type: "576 to 65535", fallback: "none" });
    expect(row("chap")).toMatchObject({ type: "`one-way`, `mutual`", fallback: "`one-way`" });
    expect(row("networks[].dns")).toMatchObject({ type: "list of IPv4 address", fallback: "`[]`" });
    expect(row("networks[].pool[].from")).toMatchObject({ type: "IPv4 address", fallback: "required" });
    expect(row("loaders.bios")).toMatchObject({ fallback: '`["undionly.kpxe","ipxe.pxe"]`' });
    expect(row("loaders.uefi-arm64")).toMatchObject({ fallback: "none" });
    expect(row("api.listen.port")).toMatchObject({ type: "0 to 65535", fallback: "none", restart: true });
  });

  it("describes every key, in cells that Markdown can hold", () => {
    for (const { key, type, fallback, description } of configRows()) {
      expect(description, key).toMatch(/^[A-Z].*\.$|^iPXE.*\.$|^tgtd.*\.$/);
      expect(`${type}${fallback}${description}`, key).not.toMatch(/[|\n]/);
    }
  });
});

describe("the document around it", () => {
  it("gets the table between its markers, and nothing else changes", () => {
    const before = "# Title\n<!-- config:begin -->\nold\n<!-- config:end -->\nrest\n";
    const after = withConfigTable(before);
    expect(after).toBe(`# Title\n<!-- config:begin -->\n\n${configTable()}\n\n<!-- config:end -->\nrest\n`);
    expect(withConfigTable(after)).toBe(after);
  });

  it("stays as it is without markers", () => {
    expect(withConfigTable("# Title\n")).toBe("# Title\n");
  });

  it.skipIf(!existsSync(readme))(
    "in the README is up to date: sh .config/run src/config/document.ts --write README.md",
    () => {
      const text = readFileSync(readme, "utf8");
      expect(text).toBe(withConfigTable(text));
    },
  );
});
