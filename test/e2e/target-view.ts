import type { TargetState } from "../../src/drivers/targets/target-server.ts";
import { createTgtClient } from "../../src/drivers/targets/tgt-client.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { parseAccounts, parsePortals } from "../../src/drivers/targets/tgt-text.ts";
import type { Rack } from "../lab/rack.ts";

const PATIENCE_MS = 5000;
const ask = createTgtClient();
const targets = createTgtServer();

/** What the first network's tgtd serves, asked at its own socket, past the appliance. */
export function listTargets({ control }: Rack): Promise<TargetState[]> {
  return targets.list(control, AbortSignal.timeout(PATIENCE_MS));
}

/** The target of a disk, if there is one. */
export async function findTarget(rack: Rack, disk: string): Promise<TargetState | undefined> {
  return (await listTargets(rack)).find(({ iqn }) => iqn.endsWith(`:${disk}`));
}

/** Names of all CHAP accounts, bound to a target or not. */
export async function listAccounts({ control }: Rack): Promise<string[]> {
  return parseAccounts(await ask(control, { mode: "account", operation: "show" }, AbortSignal.timeout(PATIENCE_MS)));
}

/** `address:port` of each portal. */
export async function listPortals({ control }: Rack): Promise<string[]> {
  return parsePortals(await ask(control, { mode: "portal", operation: "show" }, AbortSignal.timeout(PATIENCE_MS)));
}
