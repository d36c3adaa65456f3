import type { HilAccount } from "../../../src/drivers/isolation/hil-account.ts";
import { HilServer } from "./hil-server.ts";
import { OBMD_ADMIN_TOKEN, ObmdServer } from "./obmd-server.ts";

export const PASSWORD = "battery-staple-9";

/** HIL and OBMd with some nodes (n1, n2, of two NICs each), the projects p and q, red and blue, and the networks prov (public) and tenant (of p). */
export type HilRack = {
  hil: HilServer;
  obmd: ObmdServer;
  account: HilAccount;
  stop(): Promise<void>;
};

/** `nodes`: how many, or their NICs by name. `daemonMs`: how often HIL's networking daemon looks; never when absent. */
export async function startHilRack({
  nodes = 2,
  daemonMs,
  user = "admin",
  port,
}: {
  nodes?: number | Record<string, string[]>;
  daemonMs?: number | undefined;
  user?: "admin" | "tenant";
  /** Of HIL; one that is free by default. */
  port?: number;
} = {}): Promise<HilRack> {
  const hil = await new HilServer({ pool: [100, 104] }).start(port);
  const obmd = await new ObmdServer().start();
  const { world } = hil;
  world.users.set("admin", { password: PASSWORD, admin: true, projects: new Set() });
  world.users.set("tenant", { password: PASSWORD, admin: false, projects: new Set(["p"]) });
  for (const project of ["p", "q", "red", "blue"]) world.projects.add(project);
  world.networks.set("prov", { name: "prov", owner: "admin", access: null, id: "100" });
  world.networks.set("tenant", { name: "tenant", owner: "p", access: ["p"], id: "101" });
  world.switches.set("sw0", { name: "sw0", driver: "mock", hostname: "h", ports: new Set() });
  const rack = typeof nodes === "number" ? numbered(nodes) : nodes;
  for (const [index, [name, labels]] of Object.entries(rack).entries()) {
    const nics = labels.map((label, at) => {
      const port = { switch: "sw0", port: `gi1/${index}/${at}` };
      world.switches.get("sw0")?.ports.add(port.port);
      return { label, macaddr: `52:54:00:00:0${at}:${(17 + index).toString(16)}`, port, networks: new Map() };
    });
    world.nodes.set(name, {
      name,
      project: null,
      metadata: new Map(),
      obmd: { uri: `${obmd.url}/node/${name}`, admin_token: OBMD_ADMIN_TOKEN },
      nics: new Map(nics.map((nic) => [nic.label, nic])),
    });
    obmd.machines.set(name, { driver: "ipmi", power: "off" });
  }
  if (daemonMs !== undefined) hil.daemon.start(daemonMs);
  return {
    hil,
    obmd,
    account: { url: hil.url, credentials: { user, password: PASSWORD } },
    stop: async () => {
      await hil.stop();
      await obmd.stop();
    },
  };
}

const numbered = (count: number): Record<string, string[]> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`n${index + 1}`, ["eth0", "eth1"]]));
