/**
 * ingotd: the one process that serves the provisioning networks and the admin API.
 * usage: ingotd [--config FILE] | ingotd --check-config [FILE]
 */
import { readFileSync } from "node:fs";
import { enableCompileCache, flushCompileCache } from "node:module";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";

enableCompileCache();
// Reading 100,000 records makes much garbage once: a young generation that grew for it would stay, half of the process.
setFlagsFromString("--semi-space-growth-factor=1");

const USAGE = `usage: ingotd [--config FILE]          serve (default /etc/ingot/ingot.yaml)
       ingotd --check-config FILE      say what is wrong with FILE, or what it sets up
`;

const { checkConfig } = await import("./config/check.ts");
const { adoptConfig } = await import("./config/adopt.ts");
const { loadConfig } = await import("./config/load.ts");
const { toApplianceError } = await import("./errors.ts");
const { createLog } = await import("./log.ts");

try {
  const { values, positionals } = parseArgs({
    options: {
      config: { type: "string", default: "/etc/ingot/ingot.yaml" },
      "check-config": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    process.stdout.write(USAGE);
  } else if (values["check-config"]) {
    const { ok, report } = await checkConfig(positionals[0] ?? values.config);
    process.stdout.write(`${report}\n`);
    process.exitCode = ok ? 0 : 1;
  } else {
    await serve(values.config);
  }
} catch (thrown) {
  if (thrown instanceof TypeError && "code" in thrown && String(thrown.code).startsWith("ERR_PARSE_ARGS")) {
    process.stderr.write(`${thrown.message}\n${USAGE}`);
    process.exit(2);
  }
  const { code, message, details, cause } = toApplianceError(thrown);
  createLog("error").fatal(
    {
      component: "ingotd",
      code,
      message,
      details,
      ...(code === "INTERNAL" ? { err: thrown } : {}),
      cause: cause instanceof Error ? cause.message : undefined,
    },
    "ingotd can't start",
  );
  process.exit(1);
}

async function serve(configFile: string): Promise<void> {
  const { startIngot } = await import("./compose.ts");
  const config = await loadConfig(configFile);
  const log = createLog(config.log.level);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const running = await startIngot({ config, configFile, version, log, environment: process.env });
  setFlagsFromString("--semi-space-growth-factor=2");
  // now, not at the end: a process that is killed would leave nothing for its next start
  flushCompileCache();
  process.on("SIGHUP", async () => {
    try {
      const needRestart = adoptConfig(config, await loadConfig(configFile));
      log.info({ component: "ingotd", needRestart }, "configuration read again");
    } catch (thrown) {
      const { code, message } = toApplianceError(thrown);
      log.error({ component: "ingotd", code, message }, "configuration not read again, the former one stays");
    }
  });
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, async () => {
      if (stopping) return;
      stopping = true;
      log.info({ component: "ingotd", signal }, "ingotd stops");
      await running.stop();
      process.exit(0);
    });
  }
}
