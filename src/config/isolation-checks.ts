import type { Misfit } from "./cross-checks.ts";

/** What is amiss with how HIL is told who asks: by nothing, by user and password, or by a token. */
export function hilMisfits(hil: {
  user?: string | undefined;
  passwordFile?: string | undefined;
  tokenFile?: string | undefined;
}): Misfit[] {
  const { user, passwordFile, tokenFile } = hil;
  if ((user === undefined) !== (passwordFile === undefined)) {
    const path = [user === undefined ? "user" : "passwordFile"];
    return [{ path, message: "a user and its password go together; give both, or neither" }];
  }
  if (user === undefined || tokenFile === undefined) return [];
  return [{ path: ["tokenFile"], message: "HIL takes a password or a token; give one of them" }];
}

/** What is amiss with where the switch is: by its socket here, or by a host with the files for TLS. */
export function ovsMisfits(ovs: {
  socket?: string | undefined;
  host?: string | undefined;
  caFile?: string | undefined;
  certificateFile?: string | undefined;
  keyFile?: string | undefined;
  vlans: { first: number; last: number };
}): Misfit[] {
  const misfits: Misfit[] = [];
  if ((ovs.socket === undefined) === (ovs.host === undefined)) {
    misfits.push({ path: ["socket"], message: "the switch is here or elsewhere; give either socket or host" });
  }
  for (const key of ["caFile", "certificateFile", "keyFile"] as const) {
    if ((ovs[key] === undefined) === (ovs.host === undefined)) continue;
    const message =
      ovs.host === undefined
        ? "a socket needs no certificates; remove it"
        : "TLS wants the certificates of both sides and the key; give caFile, certificateFile and keyFile";
    misfits.push({ path: [key], message });
  }
  if (ovs.vlans.first > ovs.vlans.last) {
    misfits.push({ path: ["vlans"], message: "the range ends before it begins; swap first and last" });
  }
  return misfits;
}

/** A driver without what it needs. */
export function isolationMisfits(isolation: { driver: string; hil?: unknown; ovs?: unknown }): Misfit[] {
  const { driver } = isolation;
  if ((driver !== "hil" && driver !== "ovs") || isolation[driver] !== undefined) return [];
  const example = driver === "hil" ? "url, user and passwordFile" : "bridge, socket and vlans";
  return [{ path: [driver], message: `the driver is ${driver}; say where it is: ${example}` }];
}

type IsolatedPlan = {
  networks: { name: string; isolatedAs?: string | undefined; vlan?: number | undefined }[];
  isolation: { driver: string; ovs?: { vlans: { first: number; last: number } } | undefined };
};

/** Provisioning networks that the isolator can't tell apart, or does not know how to make. */
export function isolatedNetworkMisfits({ networks, isolation: { driver, ovs } }: IsolatedPlan): Misfit[] {
  if (driver === "none") return [];
  const misfits: Misfit[] = [];
  networks.forEach((network, index) => {
    const earlier = networks.slice(0, index);
    const called = network.isolatedAs ?? network.name;
    const same = earlier.find((one) => (one.isolatedAs ?? one.name) === called);
    if (same) {
      const message = `${same.name} is ${called} there as well; give each network a name of its own`;
      misfits.push({ path: [index, "isolatedAs"], message });
    }
    if (network.vlan === undefined) {
      if (driver !== "ovs") return;
      misfits.push({ path: [index, "vlan"], message: "a network behind Open vSwitch is a VLAN; say which" });
      return;
    }
    const { vlan } = network;
    const twin = earlier.find((one) => one.vlan === vlan);
    if (twin) misfits.push({ path: [index, "vlan"], message: `${twin.name} has VLAN ${vlan}; choose another one` });
    if (ovs && vlan >= ovs.vlans.first && vlan <= ovs.vlans.last) {
      const message = `${vlan} is one of isolation.ovs.vlans, which tenants' networks get; choose one outside`;
      misfits.push({ path: [index, "vlan"], message });
    }
  });
  return misfits;
}
