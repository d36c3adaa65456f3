import { isApplianceError } from "../../errors.ts";
import { driverFailed } from "../failure.ts";
import type { HilClient } from "./hil-client.ts";
import { HilAction, HilActionBegun } from "./hil-views.ts";
import type { Attachment } from "./network-isolator.ts";

/** One change of a NIC, and the action of HIL that it waits for. */
export class HilChange {
  readonly #client: HilClient;
  readonly #action: string;
  readonly #attachment: Attachment;
  /** Id of the action that HIL has still to do, as far as we know. */
  pending: string | undefined;
  /** Whether an action that we began was seen DONE. */
  isDone = false;

  constructor(client: HilClient, action: string, attachment: Attachment) {
    this.#client = client;
    this.#action = action;
    this.#attachment = attachment;
  }

  /** Begins an action; answers what is waited for. Another one on that NIC comes first. */
  async begin(verb: "connect_network" | "detach_network", body: Record<string, unknown>, signal: AbortSignal) {
    const { node, nic } = this.#attachment;
    this.isDone = false;
    try {
      const path = ["node", node, "nic", nic, verb];
      const { json } = await this.#client.call({ method: "POST", path, body, action: this.#action }, signal);
      const begun = HilActionBegun.safeParse(json);
      // Whatever it began, the next look at the NIC tells.
      if (begun.success) this.pending = begun.data.status_id;
      return "HIL has not done it yet (PENDING)";
    } catch (error) {
      if (!isApplianceError(error, "CONFLICT") || error.details.hilError !== "BlockedError") throw error;
      return error.message;
    }
  }

  /** What is waited for; undefined when nothing is. DRIVER_FAILED for an action that ended in ERROR. */
  async poll(signal: AbortSignal): Promise<string | undefined> {
    if (this.pending === undefined) return undefined;
    const path = ["networking_action", this.pending];
    const status = await this.#client
      .get(path, HilAction, this.#action, signal)
      .then((answer) => answer.status)
      .catch((error) => {
        // HIL forgets an action once it took the next for that NIC, and hides it once the node is another's.
        if (isApplianceError(error, "NOT_FOUND") || isApplianceError(error, "FORBIDDEN")) return "GONE" as const;
        throw error;
      });
    if (status === "PENDING") return "HIL has not done it yet (PENDING)";
    this.pending = undefined;
    this.isDone = status === "DONE";
    if (status !== "ERROR") return undefined;
    throw driverFailed("hil", this.#action, "the switch refused it (HIL's action ended in ERROR)", {
      details: { remedy: "look at the log of HIL's networking daemon, which has the switch's answer" },
    });
  }
}
