import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { NOBODY } from "./as-nobody.ts";
import type { CephCluster } from "./ceph.ts";
import type { RackOptions } from "./rack.ts";
import { BRIDGE, type SwitchedNetwork, vlanOf } from "./switched-network.ts";

/** Length of the networks' prefix, unless a rack says otherwise. */
export const PREFIX = 24;
/** VLANs that networks of tenants get. */
const TENANT_VLANS = { first: 100, last: 199 };

type Paths = Awaited<ReturnType<typeof makeDirectories>>;

/** Makes the folders of a rack; ingotd owns those that it writes to. */
export async function makeDirectories(stateDirectory: string) {
  const paths = {
    state: join(stateDirectory, "state"),
    run: join(stateDirectory, "run"),
    pool: join(stateDirectory, "pool"),
    spool: join(stateDirectory, "spool"),
    incoming: join(stateDirectory, "incoming"),
    import: join(stateDirectory, "import"),
    assets: join(stateDirectory, "assets"),
    secrets: join(stateDirectory, "bmc"),
    cache: join(stateDirectory, "compile-cache"),
  };
  await mkdir(stateDirectory, { recursive: true });
  await chmod(stateDirectory, 0o755);
  for (const path of Object.values(paths)) await mkdir(path, { recursive: true });
  for (const path of [paths.state, paths.run, paths.incoming, paths.secrets, paths.cache]) {
    await chown(path, NOBODY, NOBODY);
  }
  for (const path of [paths.state, paths.incoming]) await chmod(path, 0o700);
  return paths;
}

type Surroundings = {
  addresses: string[];
  portals: string[];
  ceph: CephCluster | undefined;
  switched: SwitchedNetwork | undefined;
};

/** What is in the rack's ingot.yaml. */
export function rackConfiguration(
  options: RackOptions,
  paths: Paths,
  interfaces: string[],
  { addresses, portals, ceph, switched }: Surroundings,
) {
  const { prefix = PREFIX } = options;
  const rbd = ceph && { conf: ceph.conf, user: ceph.user, pool: ceph.pool, spoolDirectory: paths.spool };
  return {
    stateDirectory: paths.state,
    runtimeDirectory: paths.run,
    assetsDirectory: paths.assets,
    log: { level: "debug" },
    pool: {
      importDirectories: [paths.import],
      incoming: { directory: paths.incoming },
      ...(rbd ? { store: "rbd", rbd } : { directory: paths.pool }),
    },
    networks: interfaces.map((name, index) => ({
      name,
      interface: name,
      address: addresses[index],
      subnet: `10.77.${prefix < 24 ? 0 : index}.0/${prefix}`,
      pool: [{ from: `10.77.${index}.100`, to: `10.77.${index}.199` }],
      portals: [{ address: portals[index] }],
      tgtd: { control: options.control + index },
      ...(switched ? { project: options.isolatedProjects?.[index], vlan: vlanOf(index) } : {}),
      ...options.networkConfig,
    })),
    ...(switched
      ? {
          isolation: {
            driver: "ovs",
            ovs: { bridge: BRIDGE, socket: switched.ovs.socket, vlans: TENANT_VLANS },
          },
        }
      : {}),
    // what is deleted shows in the pool at once
    disks: { graceHours: 0 },
    ...options.config,
  };
}
