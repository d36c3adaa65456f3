import type { NetworkConfig } from "../config/schema.ts";
import type { ServedSubnet } from "../leases/served-subnet.ts";
import { ANY_IPV4, broadcastAddress, netmask } from "../values/ipv4.ts";
import { writeOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import type { Options } from "../wire/dhcp/tlv.ts";

/** All that a subnet's clients may be told about it, whether they ask or not. */
export function networkOptions(network: NetworkConfig, { subnet, router }: ServedSubnet): Options {
  const options: Options = new Map();
  writeOption(options, OPTION.subnetMask, netmask(subnet));
  writeOption(options, OPTION.broadcastAddress, broadcastAddress(subnet));
  if (router) writeOption(options, OPTION.router, [router]);
  if (network.dns.length > 0) writeOption(options, OPTION.dnsServer, network.dns);
  if (network.ntp.length > 0) writeOption(options, OPTION.ntpServer, network.ntp);
  if (network.domain) writeOption(options, OPTION.domainName, network.domain);
  if (network.search.length > 0) writeOption(options, OPTION.domainSearch, network.search);
  if (network.mtu) writeOption(options, OPTION.mtu, network.mtu);
  if (network.routes.length > 0) {
    const routes = network.routes.map(({ destination, gateway }) => ({ destination, router: gateway }));
    // RFC 3442: who understands this option ignores the router option, so the default route must be here too.
    if (router) routes.push({ destination: { network: ANY_IPV4, prefix: 0 }, router });
    writeOption(options, OPTION.classlessRoutes, routes);
  }
  return options;
}

/** Those of `all` that a client asked for by option 55, in its order of preference; all when it asked for none. */
export function requestedOptions(all: Options, wanted: readonly number[] | undefined): Options {
  // RFC 2132 3.3: the mask comes before the router; and no client can do without one.
  const codes = [OPTION.subnetMask.code, ...(wanted ?? all.keys())];
  // RFC 3442: classless routes, where asked for and given, stand for the router option.
  const omitsRouter = wanted?.includes(OPTION.classlessRoutes.code) && all.has(OPTION.classlessRoutes.code);
  const chosen: Options = new Map();
  for (const code of codes) {
    const value = all.get(code);
    if (value && !(omitsRouter && code === OPTION.router.code)) chosen.set(code, value);
  }
  return chosen;
}
