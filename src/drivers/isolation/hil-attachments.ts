import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError } from "../failure.ts";
import { Turns } from "../turns.ts";
import { HilChange } from "./hil-change.ts";
import type { HilClient } from "./hil-client.ts";
import { isQuiet } from "./hil-quiet.ts";
import { type HilPace, settle } from "./hil-settle.ts";
import { HilNetwork, HilNode, isolatedNode, vlanOf } from "./hil-views.ts";
import type { Attachment, IsolatedNic, TellWait } from "./network-isolator.ts";

const LOOK_AFTER_FAILURE_MS = 5_000;

/**
 * The networks of NICs in HIL. It notes what is asked for, and a daemon of its own does it later: one action at a time
 * for each NIC, those of different NICs at the same time. A failure says what the NIC is in (`holds`), and which action
 * is left to be done (`pending`): HIL has no way to take one back.
 */
export class HilAttachments {
  readonly #client: HilClient;
  readonly #pace: HilPace;
  readonly #turns = new Turns();

  constructor(client: HilClient, pace: HilPace) {
    this.#client = client;
    this.#pace = pace;
  }

  async attach(attachment: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const { node, nic, network } = attachment;
    await this.#change(
      `attach ${nic} of ${node} to ${network}`,
      { attachment, signal, tell },
      async (change, signal) => {
        const shown = await this.#nic(attachment, signal);
        const { networks } = shown;
        const isSo = (all: IsolatedNic["networks"]) =>
          all.some((one) => one.network === network && one.channel === attachment.channel);
        if (isSo(networks)) {
          if (change.isDone) return { value: true };
          const isUnderWay = !(await isQuiet(this.#client, attachment, shown, signal));
          if (isUnderWay) return "an action that somebody else began on that NIC is under way";
          // one may have ended since the look
          const after = await this.#nic(attachment, signal);
          return isSo(after.networks) ? { value: true } : "what somebody else has just done to that NIC";
        }
        const inTheWay = networks.find(
          (one) => one.network === network || (one.channel === "native" && attachment.channel === "native"),
        );
        return inTheWay
          ? await change.begin("detach_network", { network: inTheWay.network }, signal)
          : await change.begin("connect_network", await this.#wanted(attachment, signal), signal);
      },
    );
  }

  /** Asks HIL to detach also what it does not show as attached: only so it tells of an attachment that is under way. */
  async detach(attachment: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const { node, nic, network } = attachment;
    await this.#change(
      `detach ${nic} of ${node} from ${network}`,
      { attachment, signal, tell },
      async (change, signal) => {
        if (!change.isDone) {
          try {
            return await change.begin("detach_network", { network }, signal);
          } catch (error) {
            // Not attached, in HIL's three ways to say so: the NIC is in no such network, there is none, nobody has the node.
            const not = ["INVALID", "NOT_FOUND", "CONFLICT"] as const;
            if (!not.some((code) => isApplianceError(error, code))) throw error;
            if (await this.#isIn(attachment, signal)) throw error;
            return { value: true };
          }
        }
        return (await this.#isIn(attachment, signal)) ? "HIL still shows the network on the NIC" : { value: true };
      },
    );
  }

  /** The body of a request to connect: without a channel it is the native one, whatever HIL calls that. */
  async #wanted({ network, channel }: Attachment, signal: AbortSignal): Promise<Record<string, unknown>> {
    if (channel === "native") return { network };
    const action = `read network ${network}`;
    const vlan = vlanOf(await this.#client.get(["network", network], HilNetwork, action, signal));
    if (vlan !== undefined) return { network, channel: `vlan/${vlan}` };
    throw new ApplianceError("UNSUPPORTED", `HIL has no tagged networks: ${network} has no VLAN`, {
      details: { driver: "hil", network, remedy: "attach it native" },
    });
  }

  /** Does the steps of one change in the NIC's turn; `step` is asked for the next once the action before it is DONE. */
  async #change(
    action: string,
    { attachment, signal, tell }: { attachment: Attachment; signal: AbortSignal; tell: TellWait | undefined },
    step: (change: HilChange, signal: AbortSignal) => Promise<{ value: true } | string>,
  ): Promise<void> {
    const { node, nic } = attachment;
    const change = new HilChange(this.#client, action, attachment);
    const run = async () => {
      try {
        const turn = async (signal: AbortSignal) => (await change.poll(signal)) ?? step(change, signal);
        await settle(action, { ...this.#pace, tell }, signal, turn);
      } catch (error) {
        throw isApplianceError(error) ? await this.#withWhatHolds(error, attachment, change, signal) : error;
      }
    };
    await this.#turns.take(`${node}/${nic}`, run, signal).catch((error) => {
      throw isApplianceError(error) ? error : abortedError(signal, "hil", action);
    });
  }

  async #withWhatHolds(error: ApplianceError, attachment: Attachment, change: HilChange, signal: AbortSignal) {
    const soon = AbortSignal.any([signal, AbortSignal.timeout(LOOK_AFTER_FAILURE_MS)]);
    const holds = await this.#nic(attachment, soon).then(
      ({ networks }) => networks,
      () => undefined,
    );
    const now = holds?.map(({ network, channel }) => `${network} (${channel})`).join(", ");
    const told = holds ? `it is in ${now || "no network"} now` : "it is not known which networks it is in now";
    const later = change.pending === undefined ? "" : ", and HIL may do the change later";
    return new ApplianceError(error.code, `${error.message}; ${told}${later}`, {
      details: {
        ...error.details,
        ...attachment,
        holds: holds ?? "unknown",
        ...(change.pending !== undefined && { pending: change.pending }),
      },
      retryable: error.retryable,
      cause: error,
    });
  }

  async #isIn(attachment: Attachment, signal: AbortSignal): Promise<boolean> {
    const { networks } = await this.#nic(attachment, signal);
    return networks.some(({ network }) => network === attachment.network);
  }

  async #nic({ node, nic }: Attachment, signal: AbortSignal): Promise<IsolatedNic> {
    const shown = isolatedNode(await this.#client.get(["node", node], HilNode, `read node ${node}`, signal));
    const found = shown.nics.find(({ name }) => name === nic);
    if (found) return found;
    const known = shown.nics.map(({ name }) => name).join(", ") || "none";
    throw new ApplianceError("NOT_FOUND", `HIL knows no NIC ${nic} of ${node}`, {
      details: { driver: "hil", node, nic, remedy: `NICs that it knows there: ${known}` },
    });
  }
}
