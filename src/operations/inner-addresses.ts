import { networkInterfaces } from "node:os";
import { formatSubnet } from "../values/ipv4.ts";
import type { Appliance } from "./appliance.ts";

/** Where nothing is fetched from unless it is listed: the appliance itself, provisioning networks, and BMCs. */
export function innerAddresses({ config, nodes }: Pick<Appliance, "config" | "nodes">): string[] {
  const own = Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
  const subnets = config.networks.flatMap((one) => [one.subnet, ...one.relayedSubnets.map(({ subnet }) => subnet)]);
  const bmcs = nodes.list().flatMap(({ power }) => (power.driver === "ipmi" ? [power.address] : []));
  return [...own, ...subnets.map(formatSubnet), ...bmcs];
}
