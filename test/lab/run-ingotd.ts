import { type IngotOptions, startIngot } from "../../src/compose.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createLog } from "../../src/log.ts";

/** Runs ingotd with parts of the test's own, by the configuration that its arguments name, until SIGTERM. */
export async function runIngotd(parts: Pick<IngotOptions, "clock" | "store">): Promise<void> {
  const configFile = process.argv[process.argv.indexOf("--config") + 1] as string;
  const config = await loadConfig(configFile);
  const running = await startIngot({
    config,
    configFile,
    version: "0.0.0-test",
    log: createLog(config.log.level),
    environment: process.env,
    ...parts,
  });
  process.on("SIGTERM", async () => {
    await running.stop();
    process.exit(0);
  });
}
