import { createTgtClient } from "../../../src/drivers/targets/tgt-client.ts";
import type { Iqn } from "../../../src/values/iqn.ts";

const ask = createTgtClient();
const TID = 5;

/** Serves a file as tgt does unless told otherwise: writes are acknowledged from memory. Open to everybody, without CHAP. */
export async function serveCached(control: number, iqn: Iqn, path: string, signal: AbortSignal): Promise<void> {
  const [tid, lun] = [TID, 1];
  const everybody = { "initiator-address": "ALL" };
  await ask(control, { mode: "target", operation: "new", tid, parameters: { targetname: iqn } }, signal);
  await ask(control, { mode: "unit", operation: "new", tid, lun, parameters: { path, bstype: "rdwr" } }, signal);
  await ask(control, { mode: "unit", operation: "update", tid, lun, parameters: { thin_provisioning: "1" } }, signal);
  await ask(control, { mode: "target", operation: "bind", tid, parameters: everybody }, signal);
}
