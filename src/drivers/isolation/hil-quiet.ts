import { z } from "zod";
import { isApplianceError } from "../../errors.ts";
import type { HilClient } from "./hil-client.ts";
import type { Attachment, IsolatedNic } from "./network-isolator.ts";

const HilNetworks = z.record(z.string(), z.unknown());

/** On which no network is, with any of HIL's allocators. */
const NO_CHANNEL = "none";

/**
 * Whether nobody's action is under way on a NIC. HIL tells nobody of an action but who began it; but what can't be done at all
 * it refuses for another reason while one is. Where HIL shows no other network to ask about, it counts as quiet.
 */
export async function isQuiet(
  client: HilClient,
  { node, nic, network }: Attachment,
  { networks }: IsolatedNic,
  signal: AbortSignal,
): Promise<boolean> {
  const all = await client.get(["networks"], HilNetworks, "list HIL's networks", signal);
  const other = Object.keys(all).find((name) => name !== network && !networks.some((one) => one.network === name));
  if (other === undefined) return true;
  const path = ["node", node, "nic", nic, "connect_network"];
  const action = `ask whether anything changes at ${nic} of ${node}`;
  try {
    await client.call({ method: "POST", path, body: { network: other, channel: NO_CHANNEL }, action }, signal);
  } catch (error) {
    if (isApplianceError(error, "INVALID") || isApplianceError(error, "NOT_FOUND")) return true;
    if (isApplianceError(error, "CONFLICT")) return error.details.hilError !== "BlockedError";
    throw error;
  }
  return false;
}
