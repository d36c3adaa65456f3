import { isApplianceError } from "../errors.ts";
import { formatSubnet, ipv4ToNumber } from "../values/ipv4.ts";
import { type ConfigProblem, loadConfig } from "./load.ts";
import type { Config, NetworkConfig } from "./schema.ts";

/**
 * The answer to `ingotd --check-config FILE`, for people: what is wrong with the file, or what it sets up.
 * Reads the file alone: whether interfaces, ports and pools are there is the doctor's question.
 */
export async function checkConfig(path: string): Promise<{ ok: boolean; report: string }> {
  try {
    return { ok: true, report: summarize(path, await loadConfig(path)) };
  } catch (error) {
    if (!isApplianceError(error, "CONFIG_INVALID")) throw error;
    const { length } = error.details.problems as ConfigProblem[];
    return { ok: false, report: `${error.message}\n${length === 1 ? "1 problem" : `${length} problems`}` };
  }
}

function summarize(path: string, config: Config): string {
  return [
    `${path} is good`,
    ...config.networks.map(summarizeNetwork),
    `state in ${config.stateDirectory}, pool in ${config.pool.directory}`,
  ].join("\n");
}

function summarizeNetwork(network: NetworkConfig): string {
  const addresses = network.pool.reduce((sum, { from, to }) => sum + ipv4ToNumber(to) - ipv4ToNumber(from) + 1, 0);
  const portals = network.portals.map(({ address, port }) => `${address}:${port}`).join(", ");
  return [
    `network ${network.name}: ${formatSubnet(network.subnet)} on ${network.interface} as ${network.address}`,
    `${addresses} pool addresses`,
    `disks at ${portals}`,
    `tgtd ${network.tgtd.control}`,
  ].join(", ");
}
