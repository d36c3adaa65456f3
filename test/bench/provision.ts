/**
 * How long it takes from the call until an outside initiator has logged in with CHAP and read block 0 of the new disk,
 * and how long snapshots and releases take, with 10,000 nodes on record and an import running all the while.
 * usage: npm run bench -- provision [--json] [--rounds N] [--case TEXT]
 */

import { randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createBenchAppliance } from "./measure/appliance.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

const bench = await createBenchAppliance({
  name: "prov",
  control: 950,
  poolBytes: 60 * GIB,
  config: { log: { level: "info" } },
});
try {
  const { rack } = bench;
  const importAs = (name: string, sizeBytes: number, fill: (fd: number) => void) => {
    const file = join(rack.importDirectory, `${name}.raw`);
    const fd = openSync(file, "w");
    ftruncateSync(fd, sizeBytes);
    fill(fd);
    closeSync(fd);
    return rack.ingot("image", "import", name, "--file", file, "--format", "raw");
  };
  const dense = (fd: number) => {
    for (let at = 0; at < GIB; at += 16 * MIB) writeSync(fd, randomBytes(16 * MIB), 0, 16 * MIB, at);
  };
  const fragmented = (fd: number) => {
    for (let extent = 0; extent < 20_000; extent++) writeSync(fd, randomBytes(4096), 0, 4096, extent * 16_384);
  };
  console.error("importing the images");
  await importAs("one", GIB, dense);
  await importAs("ten", 10 * GIB, dense);
  await importAs("fragmented", GIB, fragmented);
  process.exitCode = await bench.runClient("programs/measure-provision.ts");
} finally {
  await bench.destroy();
}
