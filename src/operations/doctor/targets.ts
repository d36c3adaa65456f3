import { connect } from "node:net";
import type { BootEntry, Portal } from "../../boot/boot-entry.ts";
import type { NetworkConfig } from "../../config/schema.ts";
import { toApplianceError } from "../../errors.ts";
import type { Appliance } from "../appliance.ts";
import type { Check, Finding } from "./finding.ts";

const CONNECT_MS = 3_000;

/** Whether each network's tgtd answers, serves a target for every provisioned node, and listens where nodes look for it. */
export const targetCheck: Check = {
  name: "targets",
  run: async ({ appliance }, signal) => {
    const findings = appliance.config.networks.map(async (network) => [
      await lookAtDaemon(appliance, network, signal),
      ...(await Promise.all(network.portals.map((portal) => lookAtPortal(network, portal)))),
    ]);
    return (await Promise.all(findings)).flat();
  },
};

async function lookAtDaemon(appliance: Appliance, network: NetworkConfig, signal: AbortSignal): Promise<Finding> {
  const { control } = network.tgtd;
  const about = { check: "targets", subject: `tgtd ${control} (${network.name})` };
  try {
    const targets = await appliance.targets.list(control, signal);
    const served = new Set(targets.map(({ iqn }) => iqn));
    const entries = [...appliance.records.collection<BootEntry>("bootEntries").values()];
    const missing = entries.filter((entry) => entry.network === network.name && !served.has(entry.iqn));
    if (missing.length === 0) {
      const sessions = targets.reduce((sum, target) => sum + target.sessions.length, 0);
      return { ...about, state: "ok", message: `targets served: ${targets.length}, sessions: ${sessions}` };
    }
    return {
      ...about,
      state: "failed",
      message: `does not serve the disks of ${missing.map(({ nodeName }) => nodeName).join(", ")}`,
      remedy: "systemctl restart ingot makes them again (running nodes wait for them)",
    };
  } catch (error) {
    const { message } = toApplianceError(error);
    const unit = `ingot-tgtd@${control}`;
    return { ...about, state: "failed", message, remedy: `systemctl status ${unit}, then journalctl -u ${unit}` };
  }
}

function lookAtPortal(network: NetworkConfig, { address, port }: Portal): Promise<Finding> {
  const about = { check: "targets", subject: `portal ${address}:${port}` };
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const answer = (finding: Pick<Finding, "state" | "message" | "remedy">) => {
      socket.destroy();
      resolve({ ...about, ...finding });
    };
    const refuse = (message: string) =>
      answer({
        state: "failed",
        message,
        remedy: `look whether ${address} is this machine's, and at ingot-tgtd@${network.tgtd.control}`,
      });
    socket.setTimeout(CONNECT_MS, () => refuse(`no answer within ${CONNECT_MS / 1000} s`));
    socket.once("connect", () => answer({ state: "ok", message: "listens" }));
    socket.once("error", (error: NodeJS.ErrnoException) => refuse(`nothing listens (${error.code})`));
  });
}
