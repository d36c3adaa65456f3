/**
 * What M2 published figures of, on each store: how long it takes from the call until an outside initiator has logged in
 * with CHAP and read block 0 of a new disk of 10 GiB with 1 GiB of content; how long snapshots, releases, and 24 at once.
 * usage: npm run bench -- images [--json] [--rounds N] [--case TEXT] [--store file|rbd]
 */

import { randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createBenchAppliance } from "./measure/appliance.ts";
import { type Result, tell } from "./measure/side-by-side.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

const { values } = parseArgs({ options: { store: { type: "string" } }, strict: false });
const results: Result[] = [];
for (const store of ["file", "rbd"] as const) {
  if (values.store !== undefined && values.store !== store) continue;
  const bench = await createBenchAppliance({
    name: `img${store}`,
    control: 952,
    poolBytes: 40 * GIB,
    storage: store,
    config: { log: { level: "info" } },
  });
  try {
    const { rack } = bench;
    const importAs = (name: string, sizeBytes: number, contentBytes: number) => {
      const file = join(rack.importDirectory, `${name}.raw`);
      const fd = openSync(file, "w");
      ftruncateSync(fd, sizeBytes);
      for (let at = 0; at < contentBytes; at += 16 * MIB) writeSync(fd, randomBytes(16 * MIB), 0, 16 * MIB, at);
      closeSync(fd);
      return rack.ingot("image", "import", name, "--file", file, "--format", "raw");
    };
    console.error(`importing the images into ${store}`);
    await importAs("ten", 10 * GIB, GIB);
    await importAs("small", 64 * MIB, 32 * MIB);
    const code = await bench.runClient("programs/measure-images.ts");
    if (code !== 0) throw new Error(`measuring ended with ${code}`);
    results.push(...JSON.parse(readFileSync(bench.resultsFile, "utf8")));
  } finally {
    await bench.destroy();
  }
}
tell("images", results);
