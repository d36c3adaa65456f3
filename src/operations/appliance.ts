import type { ForeignAuthenticator } from "../access/authenticator.ts";
import type { TokenRegistry } from "../access/token-registry.ts";
import type { UserRegistry } from "../access/user-registry.ts";
import type { BootEventSink } from "../boot/boot-event.ts";
import type { Timeline } from "../boot/timeline.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { DhcpState } from "../dhcp/standing.ts";
import type { DiskCatalogue } from "../disks/disk-catalogue.ts";
import type { ImageExchange } from "../drivers/images/image-exchange.ts";
import type { ImageStore } from "../drivers/images/image-store.ts";
import type { PoolCatalogue } from "../drivers/images/pool-catalogue.ts";
import type { PoolLeases } from "../drivers/images/pool-leases.ts";
import type { PoolSpace } from "../drivers/images/pool-space.ts";
import type { NetworkIsolator } from "../drivers/isolation/network-isolator.ts";
import type { PowerControl } from "../drivers/power/power-control.ts";
import type { TargetServer } from "../drivers/targets/target-server.ts";
import type { ImageCatalogue } from "../images/image-catalogue.ts";
import type { LeaseTable } from "../leases/lease-table.ts";
import type { Log } from "../log.ts";
import type { FetchFile } from "../net/fetch-file.ts";
import type { NetworkCatalogue } from "../networks/network-catalogue.ts";
import type { NodeRecord } from "../nodes/node.ts";
import type { NodeRegistry } from "../nodes/node-registry.ts";
import type { ProjectRegistry } from "../projects/project-registry.ts";
import type { Records } from "../store/records.ts";
import type { DiskTraffic } from "./disk-traffic.ts";
import type { LastDrift } from "./drift-watch.ts";
import type { Incoming } from "./incoming.ts";
import type { OperatorRequests } from "./operator-requests.ts";
import type { PoolWatch } from "./pool-watch.ts";
import type { LookAtPortals } from "./portals.ts";
import type { RecordMirror } from "./record-mirror.ts";
import type { OperationRunner } from "./runner.ts";
import type { UnarmedRequests } from "./unarmed-request.ts";

/** Everything that the long operations work with. Put together in compose.ts, once. */
export type Appliance = {
  /** Immutable id, in every target name that this appliance makes. */
  id: string;
  config: Config;
  records: Records;
  runner: OperationRunner;
  projects: ProjectRegistry;
  /** Who may use the API. */
  tokens: TokenRegistry;
  users: UserRegistry;
  nodes: NodeRegistry;
  images: ImageCatalogue;
  networks: NetworkCatalogue;
  disks: DiskCatalogue;
  /** Pins keep a provisioned node's address. */
  leases: Pick<LeaseTable, "pin" | "unpin">;
  /** What is known of DHCP on a configured network. */
  dhcp: (network: string) => DhcpState | undefined;
  /** Takes what operations see of a boot. */
  bootEvents: BootEventSink;
  boots: Pick<Timeline, "waitFor" | "boots" | "current" | "forget">;
  store: ImageStore;
  space: PoolSpace;
  /** What comes over the network to be imported. */
  incoming: Incoming;
  fetchFile: FetchFile;
  /** What the pool itself tells of images and disks. */
  catalogue: PoolCatalogue;
  /** What one appliance of a pool may do at a time. */
  poolLeases: PoolLeases;
  exchange: ImageExchange;
  pool: PoolWatch;
  mirror: RecordMirror;
  /** What the last comparison of records with pool and targets found. */
  drift: LastDrift;
  targets: TargetServer;
  lookAtPortals: LookAtPortals;
  /** What nodes move to and from their disks. */
  traffic: DiskTraffic;
  /** Boot requests that got no secret, for people. */
  unarmedRequests: UnarmedRequests;
  powerOf: (node: NodeRecord) => PowerControl;
  /** Who tells callers of the API, beside the appliance itself. */
  foreignAuthenticators: readonly ForeignAuthenticator[];
  /** Who separates nodes from each other, as the configuration is now. */
  isolator: () => NetworkIsolator;
  /** What operators are asked to do at nodes without a BMC. */
  operatorRequests: OperatorRequests;
  clock: Clock;
  log: Log;
};
