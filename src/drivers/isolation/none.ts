import { ApplianceError } from "../../errors.ts";
import type { Attachment, IsolatedNode, NetworkIsolator, NetworkSpec } from "./network-isolator.ts";

/**
 * An appliance without an isolator: everybody on its networks reaches everybody there. It changes nothing. What asks for
 * no separation succeeds: who has a node is the appliance's own record, and nothing is in a network that there can't be.
 * What would need a switch is UNSUPPORTED.
 */
export class NoIsolator implements NetworkIsolator {
  async nodes(): Promise<IsolatedNode[]> {
    return [];
  }

  async node(name: string): Promise<IsolatedNode> {
    return { name, nics: [] };
  }

  async allocate(): Promise<void> {}

  async free(): Promise<void> {}

  async ensureNetwork({ name }: NetworkSpec): Promise<never> {
    throw unsupported(`make network ${name}`);
  }

  async ensureAccess(network: string): Promise<never> {
    throw unsupported(`share network ${network}`);
  }

  async removeNetwork(): Promise<void> {}

  async ensureAttached({ node, nic, network }: Attachment): Promise<never> {
    throw unsupported(`attach ${nic} of ${node} to ${network}`);
  }

  async ensureDetached(): Promise<void> {}

  async inspect(): Promise<[]> {
    return [];
  }
}

function unsupported(action: string): ApplianceError {
  return new ApplianceError("UNSUPPORTED", `${action}: this appliance has no network isolator`, {
    details: { driver: "none", action, remedy: "configure one under isolation, or set up the switch by hand" },
  });
}
