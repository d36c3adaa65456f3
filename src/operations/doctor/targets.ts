import { connect } from "node:net";
import type { BootEntry, Portal } from "../../boot/boot-entry.ts";
import type { NetworkConfig } from "../../config/schema.ts";
import { toApplianceError } from "../../errors.ts";
import type { Appliance } from "../appliance.ts";
import { targetSpec } from "../attachment.ts";
import { targetFaults } from "../target-faults.ts";
import type { Check, Finding } from "./finding.ts";

const CONNECT_MS = 3_000;
const DAEMON_MS = 10_000;

/** Whether each network's tgtd answers, serves every provisioned node's disk as it should, and listens where nodes look for it. */
export const targetCheck: Check = {
  name: "targets",
  run: async ({ appliance }, signal) => {
    const findings = appliance.config.networks.map(async (network) => [
      ...(await lookAtDaemon(appliance, network, AbortSignal.any([signal, AbortSignal.timeout(DAEMON_MS)]))),
      ...(await lookAtPortals(appliance, network)),
    ]);
    return (await Promise.all(findings)).flat();
  },
};

async function lookAtDaemon(appliance: Appliance, network: NetworkConfig, signal: AbortSignal): Promise<Finding[]> {
  const { control } = network.tgtd;
  const about = { check: "targets", subject: `tgtd ${control} (${network.name})` };
  try {
    const targets = await appliance.targets.list(control, signal);
    const byIqn = new Map(targets.map((target) => [target.iqn, target]));
    const entries = [...appliance.records.collection<BootEntry>("bootEntries").values()];
    const wrong: Finding[] = [];
    for (const entry of entries.filter((one) => one.network === network.name)) {
      const faults = targetFaults(byIqn.get(entry.iqn), await targetSpec(appliance, entry));
      if (faults.length > 0) wrong.push(describeFaults(entry, faults));
    }
    const sessions = targets.reduce((sum, target) => sum + target.sessions.length, 0);
    return [{ ...about, state: "ok", message: `targets served: ${targets.length}, sessions: ${sessions}` }, ...wrong];
  } catch (error) {
    const { message } = toApplianceError(error);
    const unit = `ingot-tgtd@${control}`;
    return [{ ...about, state: "failed", message, remedy: `systemctl status ${unit}, then journalctl -u ${unit}` }];
  }
}

/** The watch over targets mends such a thing within a second or two: what stays is what it can't mend. */
function describeFaults({ nodeName, disk }: BootEntry, faults: string[]): Finding {
  return {
    check: "targets",
    subject: nodeName,
    state: "failed",
    message: faults.join("; "),
    remedy: `ask again; if it stays, journalctl -u ingot says why it can't be mended (is the file of disk ${disk} there?)`,
  };
}

async function lookAtPortals(appliance: Appliance, network: NetworkConfig): Promise<Finding[]> {
  const { isApart, open } = appliance.lookAtPortals(network);
  if (!isApart) return await Promise.all(network.portals.map((portal) => connectToPortal(network, portal)));
  // this machine reaches no portal that has a network namespace to itself; the kernel tells who listens there
  return network.portals.map(({ address, port }) => {
    const about = { check: "targets", subject: `portal ${address}:${port}` };
    if (open.has(`${address}:${port}`)) return { ...about, state: "ok", message: "listens, apart" };
    const [unit, other] = [`ingot-isolated-network@${network.interface}`, `ingot-tgtd@${network.tgtd.control}`];
    const remedy = `systemctl status ${unit} ${other}; ip -n ingot-${network.interface} address`;
    return { ...about, state: "failed", message: "nothing listens in its network namespace", remedy };
  });
}

function connectToPortal(network: NetworkConfig, { address, port }: Portal): Promise<Finding> {
  const about = { check: "targets", subject: `portal ${address}:${port}` };
  return new Promise((resolve) => {
    // as seen from the nodes' network: a rule of the firewall may go by the address
    const socket = connect({ host: address, port, localAddress: network.address });
    const answer = (finding: Pick<Finding, "state" | "message" | "remedy">) => {
      socket.destroy();
      resolve({ ...about, ...finding });
    };
    const refuse = (message: string, remedy: string) => answer({ state: "failed", message, remedy });
    socket.setTimeout(CONNECT_MS, () =>
      refuse(
        `no answer within ${CONNECT_MS / 1000} s`,
        `a firewall drops it: let tcp port ${port} in on ${network.interface} (nft list ruleset shows what is there)`,
      ),
    );
    socket.once("connect", () => answer({ state: "ok", message: "listens" }));
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      code === "ECONNREFUSED"
        ? refuse(
            "nothing listens",
            `systemctl status ingot-tgtd@${network.tgtd.control}; the log of ingot says why not`,
          )
        : refuse(
            `can't be reached (${code})`,
            `give ${address} to an interface of this machine, or correct networks[].portals`,
          ),
    );
  });
}
