import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { confineName, openConfined } from "../../../src/net/confined-file.ts";

let directory: string;
let root: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-confined-"));
  root = join(directory, "root");
  mkdirSync(join(root, "arm64"), { recursive: true });
  mkdirSync(join(directory, "root-2"));
  writeFileSync(join(root, "loader.efi"), "loader");
  writeFileSync(join(root, "arm64/loader.efi"), "loader for arm64");
  writeFileSync(join(root, "..odd"), "odd");
  writeFileSync(join(directory, "secret"), "secret");
  writeFileSync(join(directory, "root-2/secret"), "secret");
  symlinkSync("arm64/loader.efi", join(root, "inside"));
  symlinkSync("../secret", join(root, "outside"));
  symlinkSync("/etc", join(root, "etc"));
  symlinkSync("../root-2", join(root, "sibling"));
  symlinkSync("nowhere", join(root, "dangling"));
  symlinkSync("loop", join(root, "loop"));
  execFileSync("mkfifo", [join(root, "fifo")]);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const open = async (name: string, from = root) => {
  const { handle, stats } = await openConfined(from, name);
  try {
    return { text: await handle.readFile("utf8"), size: Number(stats.size) };
  } finally {
    await handle.close();
  }
};

describe("a file asked for by the network", () => {
  it.each([
    ["loader.efi", "loader"],
    ["/loader.efi", "loader"],
    ["//loader.efi", "loader"],
    ["./loader.efi", "loader"],
    ["arm64//loader.efi", "loader for arm64"],
    ["..odd", "odd"],
    ["inside", "loader for arm64"],
  ])("is served below the root: %j", async (name, text) => {
    expect(await open(name)).toEqual({ text, size: text.length });
  });

  it.each([
    ["", "INVALID"],
    ["/", "INVALID"],
    ["..", "INVALID"],
    ["../secret", "INVALID"],
    ["/../secret", "INVALID"],
    ["arm64/../../secret", "INVALID"],
    ["arm64/../loader.efi", "INVALID"],
    ["arm64\\loader.efi", "INVALID"],
    ["..\\secret", "INVALID"],
    ["loader.efi\0.txt", "INVALID"],
    ["loader.efi\n", "INVALID"],
    ["a".repeat(1025), "INVALID"],
    ["a".repeat(300), "NOT_FOUND"],
    ["/etc/passwd", "FORBIDDEN"], // through the link: the leading slash means the root
    ["outside", "FORBIDDEN"],
    ["sibling/secret", "FORBIDDEN"],
    ["missing", "NOT_FOUND"],
    ["dangling", "NOT_FOUND"],
    ["loop", "FORBIDDEN"],
    ["arm64", "NOT_FOUND"],
    ["loader.efi/", "NOT_FOUND"],
    ["loader.efi/x", "NOT_FOUND"],
    ["fifo", "NOT_FOUND"],
    [".", "FORBIDDEN"],
  ])("is refused: %j with %s", async (name, code) => {
    await expect(open(name)).rejects.toMatchObject({ name: "ApplianceError", code });
  });

  it("may lie below a root that is itself a link", async () => {
    symlinkSync("root", join(directory, "link"));
    expect(await open("loader.efi", join(directory, "link"))).toMatchObject({ text: "loader" });
    expect(await confineName(join(directory, "link"), "/loader.efi")).toBe(join(root, "loader.efi"));
  });
});
