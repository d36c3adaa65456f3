import type { LeaseRecord } from "../../leases/lease.ts";
import { type ServedSubnet, servedSubnets } from "../../leases/served-subnet.ts";
import { formatSubnet, ipv4ToNumber } from "../../values/ipv4.ts";
import type { Check, Finding } from "./finding.ts";

/** Below this share of a pool that is free, it is time for a larger one. */
const FEW = 0.1;

/** Whether addresses are left for machines without a fixed one. */
export const addressCheck: Check = {
  name: "addresses",
  run: async ({ appliance: { config, records, clock } }) => {
    const now = clock.now();
    const taken = [...records.collection<LeaseRecord>("leases").values()].filter(
      ({ state, expiresAt }) => state === "pinned" || expiresAt > now,
    );
    const subnets = config.networks.filter(givesAddresses).flatMap(servedSubnets);
    return subnets.filter(({ ranges }) => ranges.length > 0).map((subnet) => lookAt(subnet, taken));
  },
};

function givesAddresses({ dhcp }: { dhcp: string }): boolean {
  return dhcp === "server" || dhcp === "auto";
}

function lookAt({ network, subnet, ranges, taken }: ServedSubnet, leases: LeaseRecord[]): Finding {
  const bounds = ranges.map(({ from, to }) => [ipv4ToNumber(from), ipv4ToNumber(to)] as const);
  const isInPool = (address: number) => bounds.some(([from, to]) => address >= from && address <= to);
  const count = (addresses: Iterable<number>) => [...addresses].filter(isInPool).length;
  const size = bounds.reduce((sum, [from, to]) => sum + to - from + 1, 0) - count([...taken].map(ipv4ToNumber));
  const used = count(
    new Set(leases.filter((lease) => lease.network === network).map((lease) => ipv4ToNumber(lease.address))),
  );
  const free = Math.max(0, size - used);
  const about = {
    check: "addresses",
    subject: `${formatSubnet(subnet)} (${network})`,
    message: `${free} of ${size} free`,
  };
  if (free >= size * FEW && free > 0) return { ...about, state: "ok" };
  return {
    ...about,
    state: free === 0 ? "failed" : "warning",
    remedy: "make networks[].pool larger, or leaseSeconds shorter; ingot lease list shows who has them",
  };
}
