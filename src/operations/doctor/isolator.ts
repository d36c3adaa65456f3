import { isApplianceError, toApplianceError } from "../../errors.ts";
import { cablingOf } from "../../nodes/cabling.ts";
import type { Appliance } from "../appliance.ts";
import { isolatedProject } from "../isolation-steps.ts";
import type { Check, Finding } from "./finding.ts";

/** Who separates nodes: whether it answers, and knows the networks, projects and nodes that it is asked for. */
export const isolatorCheck: Check = {
  name: "isolator",
  run: async ({ appliance }, signal) => {
    const { config } = appliance;
    if (config.isolation.driver === "none") return [];
    const remarks = await appliance
      .isolator()
      .inspect({ networks: networksOf(appliance), projects: projectsOf(appliance) }, signal);
    const findings = remarks.map(({ subject, message, remedy }): Finding => {
      const about = { check: "isolator", subject, message };
      return remedy === undefined ? { ...about, state: "ok" } : { ...about, state: "failed", remedy };
    });
    // a switch has no nodes of its own: their ports are what was looked at
    if (config.isolation.driver !== "hil") return findings;
    const nodes = Object.entries(cablingOf(appliance.nodes)).map(([name, nics]) =>
      lookAt(appliance, name, nics, signal),
    );
    return [...findings, ...(await Promise.all(nodes)).flat()];
  },
};

function networksOf({ config }: Appliance) {
  return config.networks.map(({ name, isolatedAs, vlan }) => ({
    name: isolatedAs ?? name,
    ...(vlan === undefined ? {} : { vlan }),
  }));
}

/** Those whose nodes are cabled, and those of the table, as the isolator calls them. */
function projectsOf(appliance: Appliance): string[] {
  const cabled = appliance.nodes.list().filter(({ nics }) => nics.some(({ port }) => port !== undefined));
  const names = [...cabled.map(({ project }) => project), ...Object.keys(appliance.config.isolation.projects)];
  return [...new Set(names.map((name) => isolatedProject(appliance, name)))];
}

/** What is amiss with how HIL has one node. */
async function lookAt(
  appliance: Appliance,
  name: string,
  nics: { nic: string; mac: string }[],
  signal: AbortSignal,
): Promise<Finding[]> {
  const about = { check: "isolator", subject: `node ${name}` };
  try {
    const there = await appliance.isolator().node(name, signal);
    const amiss = nics.flatMap(({ nic, mac }) => {
      const found = there.nics.find((one) => one.name === nic);
      if (!found) return [`HIL has no NIC ${nic} of it`];
      return found.mac === undefined || found.mac === mac ? [] : [`its NIC ${nic} is ${found.mac} in HIL, not ${mac}`];
    });
    const remedy = "correct it in HIL, or here: ingot node cable";
    return amiss.map((message) => ({ ...about, state: "failed", message, remedy }));
  } catch (error) {
    if (signal.aborted) {
      const remedy = "HIL is slow; look at it alone: ingot reconcile --nodes";
      return [{ ...about, state: "warning", message: "was not asked in time", remedy }];
    }
    const { message, details } = toApplianceError(error);
    // HIL hides from its user what is another project's
    const isHidden = isApplianceError(error, "FORBIDDEN");
    const remedy = details.remedy ?? "look for it in HIL, or correct what it is called: ingot node cable";
    return [{ ...about, state: isHidden ? "warning" : "failed", message, remedy }];
  }
}
