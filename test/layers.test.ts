import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const src = resolve(import.meta.dirname, "../src");

/** The ring of a folder or file of src/, innermost 0. A file may import its own ring's folder and any lower ring. */
const RINGS: [pattern: RegExp, ring: number][] = [
  [/^(errors|log|clock)\.ts$|^values\//, 0],
  [/^(wire|net|store|config)\//, 1],
  [/^(access|audit|nodes|images|disks|networks|projects|leases|boot)\//, 2],
  [/^(dhcp|tftp|consoles|operations)\//, 3],
  [/^(http|cli)\//, 4],
  [/^(drivers|storaged)\//, 5],
  [/^(compose|serve-network|main)\.ts$/, 6],
];

type Import = { from: string; to: string; names: string };

const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
const imports: Import[] = files.flatMap((file) =>
  [...readFileSync(join(src, file), "utf8").matchAll(/^(?:import|export)\s+([^;]*?)\s*from\s+"(\.[^"]+)"/gms)].map(
    (match) => ({ from: file, to: relative(src, resolve(src, dirname(file), match[2]!)), names: match[1]! }),
  ),
);

function ring(file: string): number {
  const found = RINGS.find(([pattern]) => pattern.test(file));
  if (!found) throw new Error(`${file} belongs to no ring: name its folder in this test and in the README`);
  return found[1];
}

/** Interface files of drivers: types only, so anything above them may name them. */
const isDriverInterface = (file: string) =>
  /^drivers\/[a-z]+\/(image-store|image-exchange|pool-catalogue|pool-leases|pool-space|target-server|power-control|network-isolator|serial-console)\.ts$/.test(
    file,
  );

function offenders(broken: (one: Import) => boolean): string[] {
  return imports.filter(broken).map((one) => `${one.from} -> ${one.to}`);
}

describe("the rings of src/", () => {
  it("covers every file", () => {
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) ring(file);
  });

  it("points inwards only", () => {
    expect(
      offenders(
        ({ from, to }) => !isDriverInterface(to) && ring(from) < ring(to) && !(ring(from) === 5 && ring(to) === 5),
      ),
    ).toEqual([]);
  });

  it("lets only operations and consoles see driver interfaces, and only compose.ts see drivers", () => {
    expect(
      offenders(({ from, to }) => {
        if (!/^(drivers|storaged)\//.test(to)) return false;
        if (/^(drivers|storaged)\//.test(from) || from === "compose.ts") return false;
        return !(isDriverInterface(to) && /^(operations|consoles)\//.test(from));
      }),
    ).toEqual([]);
  });

  it("keeps the boot path away from operations, drivers and the admin API", () => {
    expect(
      offenders(
        ({ from, to }) =>
          /^(dhcp|tftp|http\/boot)\//.test(from) && /^(operations|drivers|storaged|http\/api)\//.test(to),
      ),
    ).toEqual([]);
  });

  it("keeps drivers away from the store and from records", () => {
    expect(
      offenders(
        ({ from, to }) =>
          /^drivers\//.test(from) && /^(store|nodes|images|disks|leases|projects|operations)\//.test(to),
      ),
    ).toEqual([]);
  });

  it("lets the CLI talk to the API only", () => {
    expect(
      offenders(({ from, to }) => /^cli\//.test(from) && !/^(cli|values|config)\/|^(errors|log|clock)\.ts$/.test(to)),
    ).toEqual([]);
  });

  it("keeps bytes and decisions free of I/O", () => {
    const pure = files.filter((file) => /^(wire\/|boot\/decide-boot|boot\/identify|values\/)/.test(file));
    const withIo = pure.filter((file) =>
      /from "node:(fs|net|dgram|http|child_process|os|timers)/.test(readFileSync(join(src, file), "utf8")),
    );
    expect(withIo).toEqual([]);
  });

  it("exits from main.ts alone", () => {
    const exiting = files.filter((file) => readFileSync(join(src, file), "utf8").includes("process.exit("));
    expect(exiting.filter((file) => !/(^|\/)main\.ts$/.test(file))).toEqual([]);
  });
});
