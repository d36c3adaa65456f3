/**
 * A rack whose machines all power on at once: up to 1,000 simulated nodes, by real protocol clients, from DHCP to the
 * first reads of their own disks. How long until the last one has its disk, and whether any is lost.
 * usage: npm run bench -- storm [--json] [--rounds N] [--case TEXT]
 */

import { randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createBenchAppliance } from "./measure/appliance.ts";

const MIB = 1024 ** 2;

const bench = await createBenchAppliance({
  name: "storm",
  control: 951,
  poolBytes: 20 * 1024 ** 3,
  // operations stay open between storms: the simulated machines never start an OS
  config: { log: { level: "info" }, operations: { loginSeconds: 86_400 } },
});
try {
  const { rack } = bench;
  const file = join(rack.importDirectory, "storm.raw");
  const fd = openSync(file, "w");
  ftruncateSync(fd, 64 * MIB);
  writeSync(fd, randomBytes(32 * MIB));
  closeSync(fd);
  await rack.ingot("image", "import", "storm", "--file", file, "--format", "raw");
  process.exitCode = await bench.runClient("programs/measure-storm.ts");
} finally {
  await bench.destroy();
}
