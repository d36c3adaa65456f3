import type { NetworkConfig } from "../../config/schema.ts";
import { type DhcpState, FOREIGN_REMEDY } from "../../dhcp/standing.ts";
import type { Check, Finding } from "./finding.ts";

type Judgement = Pick<Finding, "state" | "message" | "remedy">;

/** Whether each network's machines get addresses from one DHCP server: from ours, or from the one beside which it works. */
export const dhcpCheck: Check = {
  name: "dhcp",
  run: async ({ appliance: { config, dhcp } }) =>
    config.networks.flatMap((network) => {
      const state = dhcp(network.name);
      const judgements = state ? [judge(network, state), ...troubleOf(state)] : [];
      return judgements.map((one) => ({ check: "dhcp", subject: network.name, ...one }));
    }),
};

function judge(
  { besideForeignDhcp, interface: name }: NetworkConfig,
  { role, mode, foreign, probedAt, trouble }: DhcpState,
): Judgement {
  const others = addresses(foreign);
  const found = addresses(foreign.filter(({ by }) => by === "probe"));
  if (role === "proxy" || role === "off") {
    const what = role === "off" ? "no DHCP of ours" : mode === "auto" ? "proxy, found by itself" : "proxy";
    if (others) return { state: "ok", message: `${what}; addresses come from ${others}` };
    if (probedAt === undefined || trouble) return { state: "ok", message: `${what}; no other DHCP server seen so far` };
    const restart = mode === "auto" ? "restart ingot to have it give addresses, or " : "";
    const message = `${what}, but no DHCP server answers: machines get no address`;
    return { state: "failed", message, remedy: `${restart}start the network's own DHCP server and its relay` };
  }
  if (role === "silent" && !found) {
    const message = "silent until it is known whether another DHCP server is here";
    return { state: "warning", message, remedy: "ask again in 5 s" };
  }
  if (role === "silent") {
    const message = `silent, since DHCP server ${found} is here: no address is given out`;
    return { state: "failed", message, remedy: FOREIGN_REMEDY };
  }
  if (!others) return { state: "ok", message: "server, the only one as far as seen" };
  if (besideForeignDhcp) return { state: "ok", message: `server beside ${others}, as told` };
  if (!found) {
    const message = `server; a client took an offer of DHCP server ${others}, which answers no probe`;
    const look = `tcpdump -ni ${name} port 67 shows whether there is one`;
    return { state: "warning", message, remedy: `${look}: ${FOREIGN_REMEDY}` };
  }
  const message = `server, but DHCP server ${found} has come: nodes may get its addresses`;
  return { state: "failed", message, remedy: FOREIGN_REMEDY };
}

function addresses(servers: DhcpState["foreign"]): string {
  return servers.map(({ address }) => address).join(", ");
}

function troubleOf({ trouble }: DhcpState): Judgement[] {
  if (!trouble) return [];
  const message = `can't look for other DHCP servers: ${trouble.message}`;
  const remedy = trouble.remedy ?? "look at the log: journalctl -u ingot";
  return [{ state: "warning", message, remedy }];
}
