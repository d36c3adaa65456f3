import {
  broadcastAddress,
  formatSubnet,
  type Ipv4,
  ipv4FromNumber,
  ipv4ToNumber,
  type Subnet,
  subnetContains,
} from "../values/ipv4.ts";

/** What no single key can tell: how the values of several keys fit together. */

type Range = { from: Ipv4; to: Ipv4 };
type RelayedPlan = { subnet: Subnet; pool: Range[]; router?: Ipv4 | undefined };
type NetworkPlan = RelayedPlan & {
  name: string;
  interface: string;
  address: Ipv4;
  dhcp: "server" | "proxy" | "auto" | "off";
  besideForeignDhcp: boolean;
  dns: Ipv4[];
  ntp: Ipv4[];
  domain?: string | undefined;
  search: string[];
  mtu?: number | undefined;
  exclude: Ipv4[];
  relayedSubnets: RelayedPlan[];
  routes: { gateway: Ipv4 }[];
  portals: { address: Ipv4; port: number }[];
  tgtd: { control: number };
};

/** Where, seen from the checked object, and what is wrong; the remedy stands behind the semicolon. */
export type Misfit = { path: (string | number)[]; message: string };

/** The misfits inside one provisioning network. */
export function networkMisfits(network: NetworkPlan): Misfit[] {
  const { address, subnet, exclude, relayedSubnets, routes, portals } = network;
  const own = [address, ...portals.map((portal) => portal.address)];
  const subnets = [subnet, ...relayedSubnets.map((relayed) => relayed.subnet)];
  const within = (wanted: Ipv4) => subnets.some((one) => subnetContains(one, wanted));
  const misfits = [
    ...dhcpMisfits(network),
    ...(isHostOf(subnet, address) ? [] : [{ path: ["address"], message: outside(address, subnet) }]),
    ...poolMisfits(network, own, exclude),
    ...relayedSubnets.flatMap((relayed, index) =>
      poolMisfits(relayed, own, exclude).map((one) => ({ ...one, path: ["relayedSubnets", index, ...one.path] })),
    ),
  ];
  exclude.forEach((excluded, index) => {
    if (!within(excluded))
      misfits.push({
        path: ["exclude", index],
        message: `${excluded} lies in no subnet of this network; nothing there is given out, remove it`,
      });
  });
  routes.forEach(({ gateway }, index) => {
    // RFC 3442: 0.0.0.0 stands for "on this link"
    if (gateway !== "0.0.0.0" && !within(gateway))
      misfits.push({
        path: ["routes", index, "gateway"],
        message: `nodes can't reach the gateway ${gateway}; name one inside ${formatSubnet(subnet)}`,
      });
  });
  portals.forEach((portal, index) => {
    const first = portals.findIndex((one) => one.address === portal.address && one.port === portal.port);
    if (first !== index)
      misfits.push({
        path: ["portals", index],
        message: `${portal.address}:${portal.port} is listed twice; remove one of them`,
      });
    if (!isReachable(portal.address) && !subnetContains(subnet, portal.address))
      misfits.push({
        path: ["portals", index, "address"],
        message: `no node can connect to ${portal.address}; name an address of the appliance`,
      });
  });
  return misfits;
}

/** What only a server that gives addresses can use; of `relayedSubnets` a proxy needs `subnet`. */
const SERVER_KEYS = [
  ...(["pool", "exclude", "relayedSubnets", "router"] as const),
  ...(["dns", "ntp", "domain", "search", "mtu", "routes"] as const),
];

function dhcpMisfits(network: NetworkPlan): Misfit[] {
  const { dhcp, besideForeignDhcp } = network;
  const misfits: Misfit[] = [];
  if (besideForeignDhcp && dhcp !== "server") {
    const message = `it means nothing where dhcp is ${dhcp}; remove it, or set dhcp to server`;
    misfits.push({ path: ["besideForeignDhcp"], message });
  }
  if (dhcp === "server" || dhcp === "auto") return misfits;
  const message = `no addresses are given where dhcp is ${dhcp}; remove it, or set dhcp to server or auto`;
  const refuse = (path: Misfit["path"], value: unknown) => {
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return;
    misfits.push({ path, message });
  };
  for (const key of SERVER_KEYS) {
    if (key !== "relayedSubnets" || dhcp === "off") refuse([key], network[key]);
  }
  if (dhcp === "off") return misfits;
  network.relayedSubnets.forEach(({ pool, router }, index) => {
    refuse(["relayedSubnets", index, "pool"], pool);
    refuse(["relayedSubnets", index, "router"], router);
  });
  return misfits;
}

/** The misfits between networks. */
export function networksMisfits(networks: NetworkPlan[]): Misfit[] {
  const misfits: Misfit[] = [];
  const unique = (path: string[], what: string, value: (network: NetworkPlan) => string | number) =>
    networks.forEach((network, index) => {
      const first = networks.findIndex((one) => value(one) === value(network));
      if (first !== index)
        misfits.push({
          path: [index, ...path],
          message: `two networks share the ${what} ${value(network)}; networks[${first}] has it already`,
        });
    });
  unique(["name"], "name", (network) => network.name);
  unique(["interface"], "interface", (network) => network.interface);
  unique(["tgtd", "control"], "tgtd control number", (network) => network.tgtd.control);

  const subnets = networks.flatMap((network, index) => [
    { subnet: network.subnet, path: [index, "subnet"] },
    ...network.relayedSubnets.map((relayed, inner) => ({
      subnet: relayed.subnet,
      path: [index, "relayedSubnets", inner, "subnet"],
    })),
  ]);
  subnets.forEach(({ subnet, path }, index) => {
    const other = subnets.slice(0, index).find((one) => subnetsOverlap(one.subnet, subnet));
    if (other)
      misfits.push({
        path,
        message: `${formatSubnet(subnet)} overlaps ${formatSubnet(other.subnet)}; every subnet may appear once`,
      });
  });
  return misfits;
}

function poolMisfits({ subnet, pool, router }: RelayedPlan, own: Ipv4[], exclude: Ipv4[]): Misfit[] {
  const misfits: Misfit[] = [];
  if (router && !isHostOf(subnet, router)) misfits.push({ path: ["router"], message: outside(router, subnet) });
  const sound: Range[] = [];
  const taken = router ? [...own, router] : own;
  pool.forEach((range, index) => {
    const path = ["pool", index];
    const ends = (["from", "to"] as const).filter((end) => !isHostOf(subnet, range[end]));
    for (const end of ends) misfits.push({ path: [...path, end], message: outside(range[end], subnet) });
    if (ends.length > 0) return;
    if (ipv4ToNumber(range.from) > ipv4ToNumber(range.to)) {
      const message = `the range ends before it begins; swap ${range.from} and ${range.to}`;
      misfits.push({ path, message });
      return;
    }
    const other = sound.find((one) => inRange(one, range.from) || inRange(range, one.from));
    sound.push(range);
    if (other)
      misfits.push({ path, message: `the range overlaps ${other.from}-${other.to}; every address may appear once` });
    for (const address of new Set(taken))
      if (inRange(range, address) && !exclude.includes(address))
        misfits.push({
          path,
          message: `the range holds ${address}, which is not free; shorten the range or add the address to exclude`,
        });
  });
  return misfits;
}

/** Whether a node or the appliance may bear the address: inside, and neither the subnet's own nor its broadcast address. */
function isHostOf(subnet: Subnet, address: Ipv4): boolean {
  return subnetContains(subnet, address) && address !== subnet.network && address !== broadcastAddress(subnet);
}

function outside(address: Ipv4, subnet: Subnet): string {
  const first = ipv4FromNumber(ipv4ToNumber(subnet.network) + 1);
  const last = ipv4FromNumber(ipv4ToNumber(broadcastAddress(subnet)) - 1);
  return `${address} is no host address of ${formatSubnet(subnet)}; name one from ${first} to ${last}`;
}

function inRange(range: Range, address: Ipv4): boolean {
  const number = ipv4ToNumber(address);
  return number >= ipv4ToNumber(range.from) && number <= ipv4ToNumber(range.to);
}

function subnetsOverlap(one: Subnet, other: Subnet): boolean {
  return subnetContains(one, other.network) || subnetContains(other, one.network);
}

/** Not the unspecified address, loopback, multicast or reserved (RFC 6890). */
function isReachable(address: Ipv4): boolean {
  const first = Number(address.split(".")[0]);
  return first !== 0 && first !== 127 && first < 224;
}
