import type { Log } from "../log.ts";
import type { FindNode } from "../nodes/node.ts";
import type { Records } from "../store/records.ts";
import type { BootEntry } from "./boot-entry.ts";
import type { BootEventSink } from "./boot-event.ts";

/**
 * Notes in a boot entry with `once` that its OS is up (phoned home, or logged in where it does not phone home),
 * so that the next boot goes to the local disk, also after a restart of the appliance.
 */
export function settleOnce(findNode: FindNode, records: Records, log: Log): BootEventSink {
  const entries = records.collection<BootEntry>("bootEntries");
  return ({ mac, stage, at }) => {
    if (stage !== "ready" && stage !== "iscsi-login-os") return;
    const entry = entries.get(findNode(mac)?.id ?? "");
    if (!entry?.once || entry.mac !== mac || entry.bootedAt !== undefined || at < entry.createdAt) return;
    if (stage === "iscsi-login-os" && entry.phonesHome) return;
    const value = { ...entry, bootedAt: at };
    records.commit([{ collection: "bootEntries", key: entry.node, value }]).catch((error) => {
      log.error({ err: error, node: entry.nodeName, mac }, "single boot not noted: the node may boot its disk again");
    });
  };
}
