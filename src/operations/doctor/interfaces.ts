import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import type { NetworkConfig } from "../../config/schema.ts";
import type { Check, Finding } from "./finding.ts";

const IFF_UP = 1;

/** Whether each network's interface is there, up, cabled, and has the address that nodes are told. */
export const interfaceCheck: Check = {
  name: "interfaces",
  run: ({ appliance }) => Promise.all(appliance.config.networks.map(lookAt)),
};

async function lookAt({ interface: name, address, subnet }: NetworkConfig): Promise<Finding> {
  const about = { check: "interfaces", subject: name };
  const fault = await findFault(name, address, subnet.prefix);
  return fault ? { ...about, ...fault } : { ...about, state: "ok", message: `up, with ${address}` };
}

async function findFault(
  name: string,
  address: string,
  prefix: number,
): Promise<Pick<Finding, "state" | "message" | "remedy"> | undefined> {
  const names = (await readFile("/proc/self/net/dev", "utf8")).matchAll(/^ *([^\s:]+):/gm);
  if (![...names].some((match) => match[1] === name)) {
    return {
      state: "failed",
      message: "there is no such interface",
      remedy: "compare networks[].interface with ip link",
    };
  }
  const addresses = (networkInterfaces()[name] ?? []).map((one) => one.address);
  if (addresses.includes(address)) return undefined;
  if (addresses.some((one) => one.includes("."))) {
    return {
      state: "failed",
      message: `has ${addresses.filter((one) => one.includes(".")).join(", ")}, not ${address}`,
      remedy: `ip address add ${address}/${prefix} dev ${name}, or correct networks[].address`,
    };
  }
  const link = `/sys/class/net/${name}`;
  // neither file can be read where sysfs shows another network namespace; carrier not while the interface is down
  const flags = Number((await readFile(`${link}/flags`, "utf8").catch(() => "1")).trim());
  const carrier = (await readFile(`${link}/carrier`, "utf8").catch(() => "1")).trim();
  if ((flags & IFF_UP) === 0) return { state: "failed", message: "is down", remedy: `ip link set ${name} up` };
  if (carrier === "0")
    return { state: "failed", message: "has no carrier", remedy: "look at the cable and the switch port" };
  return {
    state: "failed",
    message: "has no IPv4 address",
    remedy: `ip address add ${address}/${prefix} dev ${name}`,
  };
}
