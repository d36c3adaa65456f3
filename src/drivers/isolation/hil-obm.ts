import type { HilClient } from "./hil-client.ts";

/** Has HIL give its users a way to the BMC of a node. Done again, it ends every console and call that used the former. */
export async function enableObm(client: HilClient, node: string, signal: AbortSignal): Promise<void> {
  await setObm(client, node, true, signal);
}

/** Takes it away. HIL lets no node go before that. What is disabled already, stays so. */
export async function disableObm(client: HilClient, node: string, signal: AbortSignal): Promise<void> {
  await setObm(client, node, false, signal);
}

async function setObm(client: HilClient, node: string, enabled: boolean, signal: AbortSignal): Promise<void> {
  const action = `${enabled ? "enable" : "disable"} the OBM of ${node}`;
  await client.call({ method: "PUT", path: ["node", node, "obm"], body: { enabled }, action }, signal);
}
