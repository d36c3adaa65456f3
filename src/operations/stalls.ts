import type { BootEntry } from "../boot/boot-entry.ts";
import { type BootPlan, findStall, type Stall } from "../boot/stall.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";

type Known = Pick<Appliance, "boots" | "clock" | "config" | "records">;

/** How this node's boot stands still, if it does: one without a boot entry has nothing to come to. */
export function stallOf(appliance: Known, node: string): Stall | undefined {
  const entry = bootEntryOf(appliance.records, node);
  if (!entry) return undefined;
  return findStall(appliance.boots.boots(entry.mac), bootPlan(appliance, entry), appliance.clock.now());
}

/** What a diagnosis of this entry's boots goes by. */
export function bootPlan({ config }: Pick<Appliance, "config">, entry: BootEntry): BootPlan {
  return { entry, network: config.networks.find(({ name }) => name === entry.network) };
}

/** All nodes whose boot stands still. */
export function listStalls(appliance: Known): { nodeName: string; stall: Stall }[] {
  const entries = [...appliance.records.collection<BootEntry>("bootEntries").values()];
  return entries.flatMap(({ node, nodeName }) => {
    const stall = stallOf(appliance, node);
    return stall ? [{ nodeName, stall }] : [];
  });
}
