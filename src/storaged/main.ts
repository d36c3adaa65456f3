/**
 * ingot-storaged: image store and target server behind one unix socket, for ingotd, which runs without privileges.
 * It keeps no state, so it may be stopped, killed and started at any time.
 * usage: main.ts --config FILE [--group GROUP]
 * It takes the socket named `storaged` from systemd, else it makes `storaged.sock` in runtimeDirectory.
 */
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig } from "../config/load.ts";
import { openPool } from "../drivers/images/open-pool.ts";
import { createTgtServer } from "../drivers/targets/tgt-server.ts";
import { isApplianceError, toApplianceError } from "../errors.ts";
import { createLog } from "../log.ts";
import { findInherited, takeInheritedSockets } from "../net/inherited-sockets.ts";
import { lockDirectory } from "../store/lock.ts";
import { createDiskCheck } from "./disk-check.ts";
import { listen, listenOnPath } from "./listen.ts";
import { createStorageServer } from "./server.ts";
import { storageVerbs } from "./verbs.ts";

const POOL = {
  what: "pool",
  field: "pool.directory",
  remedy: "a local pool has one ingot-storaged: stop the other one, or give this one a directory of its own",
};

try {
  await main();
} catch (thrown) {
  const { code, message, details } = toApplianceError(thrown);
  createLog("error").error({ component: "storaged", code, message, details }, "can't start");
  process.exit(1);
}

async function main(): Promise<void> {
  const options = { config: { type: "string", default: "/etc/ingot/ingot.yaml" }, group: { type: "string" } } as const;
  const { values } = parseArgs({ options });
  const config = await loadConfig(values.config);
  const log = createLog(config.log.level).child({ component: "storaged" });
  const inherited = findInherited(takeInheritedSockets(process.env), "storaged", "stream");

  // unfinished files of another process would be taken for what a former one left
  if (config.pool.store === "file") {
    await lockDirectory(config.pool.directory, POOL).catch((error) => {
      // what else is wrong with the directory, the store says better
      if (isApplianceError(error, "LOCKED")) throw error;
    });
  }
  const { images, space, catalogue, leases, exchange, place, beforeOpening } = await openPool(config.pool);
  const targets = createTgtServer({ beforeOpening });
  const controls = config.networks.map((network) => network.tgtd.control);
  const verbs = storageVerbs(
    { images, space, catalogue, leases, exchange, targets },
    createDiskCheck(images, targets, controls),
  );
  const server = createStorageServer(verbs, log);

  const path = join(config.runtimeDirectory, "storaged.sock");
  if (inherited === undefined) await listenOnPath(server, path, values.group);
  else await listen(server, { fd: inherited });
  log.info({ pool: place, inherited: inherited !== undefined }, "listening");
  // now, not at the end: a process that is killed would leave nothing for its next start
  flushCompileCache();

  // Calls under way are not waited for: each is idempotent, and its caller repeats it.
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      log.info({ signal }, "stopping");
      process.exit(0);
    });
  }
}
