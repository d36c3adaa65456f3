import type { Log } from "../log.ts";
import type { FindNode } from "../nodes/node.ts";
import type { Records } from "../store/records.ts";
import type { BootEntry } from "./boot-entry.ts";
import type { BootEvent, BootEventSink } from "./boot-event.ts";

/**
 * Notes in a boot entry that its OS is up, in one commit per boot: the entry is disarmed, and with `once` the next boot
 * goes to the local disk (after the phone-home, or the login of an image that does not phone home), also after a
 * restart of the appliance.
 */
export function noteOsUp(findNode: FindNode, records: Records, log: Log): BootEventSink {
  const entries = records.collection<BootEntry>("bootEntries");
  return (event) => {
    const entry = entries.get(findNode(event.mac)?.id ?? "");
    if (!entry || entry.mac !== event.mac || event.at < entry.createdAt) return;
    const value = afterEvent(entry, event);
    if (value === entry) return;
    records.commit([{ collection: "bootEntries", key: entry.node, value }]).catch((error) => {
      log.error({ err: error, node: entry.nodeName, mac: entry.mac }, "OS up, but not noted in the boot entry");
    });
  };
}

function afterEvent(entry: BootEntry, { stage, at }: BootEvent): BootEntry {
  if (stage !== "ready" && stage !== "iscsi-login-os") return entry;
  const isBooted = entry.once && entry.bootedAt === undefined && !(stage === "iscsi-login-os" && entry.phonesHome);
  if (!isBooted && entry.disarmedAt !== undefined) return entry;
  return { ...entry, disarmedAt: entry.disarmedAt ?? at, ...(isBooted ? { bootedAt: at } : {}) };
}
