import type { NetworkConfig } from "../config/schema.ts";
import type { DhcpState } from "../dhcp/standing.ts";
import type { PoolUsage } from "../drivers/images/image-store.ts";
import { toApplianceError } from "../errors.ts";
import type { LeaseRecord } from "../leases/lease.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, RecordedError } from "./operation.ts";
import { type PoolFill, poolFill } from "./pool-level.ts";
import { listSchedules } from "./scheduled-snapshots.ts";
import { listStalls } from "./stalls.ts";

const POOL_SECONDS = 5;

/** The appliance at a glance. */
export type SystemStatus = {
  networks: (Pick<NetworkConfig, "name" | "interface" | "address" | "subnet" | "portals"> & {
    leases: number;
    dhcp?: DhcpState | undefined;
  })[];
  /** Or why it can't be told. */
  pool: (PoolFill & PoolUsage) | Pick<RecordedError, "code" | "message">;
  counts: {
    nodes: number;
    provisioned: number;
    stalled: number;
    images: number;
    disks: number;
    /** Disks that can be undeleted. */
    deleted: number;
    leases: number;
  };
  schedules: ReturnType<typeof listSchedules>;
  /** Those that are not over, the stuck ones included; newest first. */
  operations: OperationRecord[];
};

/** What the appliance has and does now. Never fails for a part that is down: it says so there. */
export async function systemStatus(appliance: Appliance): Promise<SystemStatus> {
  const { config, records, runner, store } = appliance;
  const leases = [...records.collection<LeaseRecord>("leases").values()];
  const pool = await store.usage(AbortSignal.timeout(POOL_SECONDS * 1000)).then(
    (usage) => ({ ...usage, ...poolFill(usage, config.pool.watermarks) }),
    (error) => {
      const { code, message } = toApplianceError(error);
      return { code, message };
    },
  );
  return {
    networks: config.networks.map(({ name, interface: on, address, subnet, portals }) => ({
      name,
      interface: on,
      address,
      subnet,
      portals,
      leases: leases.filter((lease) => lease.network === name).length,
      dhcp: appliance.dhcp(name),
    })),
    pool,
    counts: {
      nodes: records.collection("nodes").size,
      provisioned: records.collection("bootEntries").size,
      stalled: listStalls(appliance).length,
      images: records.collection("images").size,
      disks: appliance.disks.list().length,
      deleted: appliance.disks.listDeleted().length,
      leases: leases.length,
    },
    schedules: listSchedules(appliance),
    operations: runner.list().filter(({ state }) => state !== "done" && state !== "undone"),
  };
}
