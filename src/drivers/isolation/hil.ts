import { ApplianceError, isApplianceError } from "../../errors.ts";
import { HilAttachments } from "./hil-attachments.ts";
import type { HilClient } from "./hil-client.ts";
import { inspectHil } from "./hil-inspect.ts";
import { disableObm } from "./hil-obm.ts";
import { type HilPace, settle } from "./hil-settle.ts";
import { HilNames, HilNetwork, HilNode, isolatedNode, vlanOf } from "./hil-views.ts";
import type {
  Attachment,
  InUse,
  IsolatedNode,
  NetworkIsolator,
  NetworkSpec,
  Remark,
  TellWait,
} from "./network-isolator.ts";

/**
 * Networks by HIL, the Hardware Isolation Layer, for which a daemon of its own sets up switches. Also FORBIDDEN, when HIL
 * does not let its user do something; TIMEOUT when HIL has not done a change after `actionSeconds` (default 60).
 */
export class HilIsolator implements NetworkIsolator {
  readonly #client: HilClient;
  readonly #pace: HilPace;
  readonly #attachments: HilAttachments;

  constructor(client: HilClient, { actionSeconds = 60, pollMs = 250 }: Partial<HilPace> = {}) {
    this.#client = client;
    this.#pace = { actionSeconds, pollMs };
    this.#attachments = new HilAttachments(client, this.#pace);
  }

  /** Without those of projects that HIL hides from its user. */
  async nodes(signal: AbortSignal): Promise<IsolatedNode[]> {
    const names = await this.#client.get(["nodes", "all"], HilNames, "list HIL's nodes", signal);
    const nodes = names.map((name) =>
      this.node(name, signal).catch((error) => {
        if (isApplianceError(error, "NOT_FOUND") || isApplianceError(error, "FORBIDDEN")) return [];
        throw error;
      }),
    );
    return (await Promise.all(nodes)).flat();
  }

  async node(name: string, signal: AbortSignal): Promise<IsolatedNode> {
    return isolatedNode(await this.#client.get(["node", name], HilNode, `read node ${name}`, signal));
  }

  /** HIL gives a node to two who ask at once, and tells both of them so: it is ours when it is seen to stay ours. */
  async allocate(node: string, project: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `allocate ${node} to ${project}`;
    let given = false;
    let seen = 0;
    await settle(action, { ...this.#pace, tell }, signal, async (signal) => {
      const { project: owner } = await this.#look(node, signal);
      if (owner === project) return !given || ++seen > 1 ? { value: true } : "whether it stays with the project";
      if (owner !== undefined) throw belongsTo(action, node, owner);
      given = true;
      await this.#post(project, "connect_node", node, action, signal);
      return "HIL does not show it in the project";
    });
  }

  async free(node: string, project: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `free ${node}`;
    await settle(action, { ...this.#pace, tell }, signal, async (signal) => {
      const { project: owner, nics } = await this.#look(node, signal);
      if (owner === undefined) return { value: true };
      if (owner !== project) throw belongsTo(action, node, owner);
      const attached = nics.flatMap(({ name, networks }) => networks.map(({ network }) => `${name} in ${network}`));
      if (attached.length > 0) {
        throw new ApplianceError("CONFLICT", `${action}: it is attached: ${attached.join(", ")}`, {
          details: { driver: "hil", action, node, attached, remedy: "detach its NICs first" },
        });
      }
      await disableObm(this.#client, node, signal);
      return await this.#post(project, "detach_node", node, action, signal);
    });
  }

  async ensureNetwork(network: NetworkSpec, signal: AbortSignal, tell?: TellWait): Promise<{ vlan?: number }> {
    const { name, project, vlan } = network;
    const action = `make network ${name}`;
    // A project's own network gets its VLAN from HIL's pool; one with a VLAN that we name can only be the admin's.
    const owner = vlan === undefined ? (project ?? "admin") : "admin";
    const body = { owner, access: project ?? "", net_id: vlan === undefined ? "" : String(vlan) };
    return await settle(action, { ...this.#pace, tell }, signal, async (signal) => {
      const there = await this.#network(name, signal);
      if (there) return { value: checkedMake(network, there) };
      await this.#client.call({ method: "PUT", path: ["network", name], body, action }, signal).catch((error) => {
        if (isApplianceError(error, "EXISTS")) return;
        throw isApplianceError(error, "DRIVER_FAILED") ? poolMayBeEmpty(error, vlan) : error;
      });
      return "HIL does not show it";
    });
  }

  async ensureAccess(
    network: string,
    projects: readonly string[],
    signal: AbortSignal,
    tell?: TellWait,
  ): Promise<void> {
    const action = `share network ${network}`;
    await settle(action, { ...this.#pace, tell }, signal, async (signal) => {
      const there = await this.#client.get(["network", network], HilNetwork, action, signal);
      const has = there.access ?? [];
      const wanted = new Set([there.owner, ...projects]);
      const [more] = projects.filter((project) => !has.includes(project));
      const [less] = has.filter((project) => !wanted.has(project));
      const [method, project] = more === undefined ? (["DELETE", less] as const) : (["PUT", more] as const);
      if (project === undefined) return { value: true };
      if (method === "DELETE") await this.#refuseAttached(action, network, project, signal);
      await this.#client.call({ method, path: ["network", network, "access", project], action }, signal);
      return `whether project ${project} ${method === "PUT" ? "has" : "lost"} it`;
    });
  }

  /** HIL takes a network from a project whose NICs are in it, and leaves them there. */
  async #refuseAttached(action: string, network: string, project: string, signal: AbortSignal): Promise<void> {
    const attached = (await this.nodes(signal)).flatMap((node) =>
      node.project === project && node.nics.some(({ networks }) => networks.some((one) => one.network === network))
        ? [node.name]
        : [],
    );
    if (attached.length === 0) return;
    throw new ApplianceError("CONFLICT", `${action}: ${project} has nodes in it: ${attached.join(", ")}`, {
      details: { driver: "hil", action, attached, remedy: "detach them first" },
    });
  }

  async removeNetwork(name: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `remove network ${name}`;
    await settle(action, { ...this.#pace, tell }, signal, async (signal) => {
      await this.#client.call({ method: "DELETE", path: ["network", name], action }, signal).catch((error) => {
        if (!isApplianceError(error, "NOT_FOUND")) throw error;
      });
      return { value: true };
    });
  }

  ensureAttached(attachment: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void> {
    return this.#attachments.attach(attachment, signal, tell);
  }

  ensureDetached(attachment: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void> {
    return this.#attachments.detach(attachment, signal, tell);
  }

  inspect(use: InUse, signal: AbortSignal): Promise<Remark[]> {
    return inspectHil(this.#client, use, signal);
  }

  /** A node, also one that HIL hides: that is another project's. */
  async #look(node: string, signal: AbortSignal): Promise<IsolatedNode> {
    try {
      return await this.node(node, signal);
    } catch (error) {
      if (isApplianceError(error, "FORBIDDEN")) return { name: node, project: "another project", nics: [] };
      throw error;
    }
  }

  async #network(name: string, signal: AbortSignal) {
    try {
      return await this.#client.get(["network", name], HilNetwork, `read network ${name}`, signal);
    } catch (error) {
      if (isApplianceError(error, "NOT_FOUND")) return undefined;
      if (!isApplianceError(error, "FORBIDDEN")) throw error;
      throw otherMake(name, "it is one that HIL hides from its user");
    }
  }

  /** Gives or takes a node. What HIL blocks now, it may do once the node's actions are done. */
  async #post(
    project: string,
    verb: "connect_node" | "detach_node",
    node: string,
    action: string,
    signal: AbortSignal,
  ) {
    try {
      await this.#client.call({ method: "POST", path: ["project", project, verb], body: { node }, action }, signal);
      return { value: true };
    } catch (error) {
      if (!isApplianceError(error, "CONFLICT")) throw error;
      return error.message;
    }
  }
}

function belongsTo(action: string, node: string, owner: string): ApplianceError {
  return new ApplianceError("CONFLICT", `${action}: ${owner} has it`, {
    details: { driver: "hil", action, node, owner, remedy: `free ${node} from ${owner} in HIL, or use another node` },
  });
}

function checkedMake(wanted: NetworkSpec, there: Parameters<typeof vlanOf>[0] & { access: string[] | null }) {
  const vlan = vlanOf(there);
  if (wanted.vlan !== undefined && vlan !== wanted.vlan) throw otherMake(wanted.name, `its VLAN is ${vlan ?? "none"}`);
  const { access } = there;
  const fits = wanted.project === undefined ? access === null : access?.includes(wanted.project);
  if (!fits) throw otherMake(wanted.name, `who may use it: ${access?.join(", ") ?? "every project"}`);
  return vlan === undefined ? {} : { vlan };
}

function otherMake(name: string, how: string): ApplianceError {
  return new ApplianceError("EXISTS", `HIL has another network ${name}: ${how}`, {
    details: { driver: "hil", network: name, remedy: "choose another name, or change or delete that network in HIL" },
  });
}

/** HIL fails, rather than refuses, when it has no VLAN left. */
function poolMayBeEmpty(error: ApplianceError, vlan: number | undefined): ApplianceError {
  if (vlan !== undefined) return error;
  const remedy = "look at HIL's log, and whether its pool of VLANs is used up";
  const { code, message, details, retryable } = error;
  return new ApplianceError(code, message, { details: { ...details, remedy }, retryable, cause: error });
}
