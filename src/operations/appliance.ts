import type { BootEvent, BootStage } from "../boot/boot-event.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { DiskCatalogue } from "../disks/disk-catalogue.ts";
import type { ImageStore } from "../drivers/images/image-store.ts";
import type { PowerControl } from "../drivers/power/power-control.ts";
import type { TargetServer } from "../drivers/targets/target-server.ts";
import type { ImageCatalogue } from "../images/image-catalogue.ts";
import type { Log } from "../log.ts";
import type { NodeRecord } from "../nodes/node.ts";
import type { NodeRegistry } from "../nodes/node-registry.ts";
import type { Change, Records } from "../store/records.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { OperationRunner } from "./runner.ts";

/** What operations ask of the address table. */
export interface AddressPins {
  /**
   * The address that this NIC keeps as long as it is pinned, and the changes that pin it; the same address when it is
   * pinned already. NO_ADDRESS when the pool is empty, CONFLICT when the wished one is taken.
   */
  pin(mac: Mac, network: string, wished?: Ipv4): { address: Ipv4; changes: Change[] };
  /** The changes that give the address of this NIC back; none when nothing is pinned. */
  unpin(mac: Mac, network: string): Change[];
}

/** What operations ask of the boot timeline. */
export interface BootWatch {
  record(event: BootEvent): void;
  /** Resolves with the first event of this stage (and MAC) at or after `since`; at once when it has been. Rejects with the signal's reason. */
  waitFor(mac: Mac, stage: BootStage, since: number, signal: AbortSignal): Promise<BootEvent>;
  /** The furthest stage since then, for saying where a boot is stuck. */
  furthest(mac: Mac, since: number): BootEvent | undefined;
}

/** Everything that the long operations work with. Put together in compose.ts, once. */
export type Appliance = {
  /** Immutable id, in every target name that this appliance makes. */
  id: string;
  config: Config;
  records: Records;
  runner: OperationRunner;
  nodes: NodeRegistry;
  images: ImageCatalogue;
  disks: DiskCatalogue;
  addresses: AddressPins;
  boots: BootWatch;
  store: ImageStore;
  targets: TargetServer;
  powerOf: (node: NodeRecord) => PowerControl;
  clock: Clock;
  log: Log;
};
