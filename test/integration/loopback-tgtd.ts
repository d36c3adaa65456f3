import type { TargetServer } from "../../src/drivers/targets/target-server.ts";
import { tgtdArguments } from "../../src/drivers/targets/tgt-daemon.ts";
import { recordTgtdSocket, startProcess } from "../lab/lab-state.ts";
import { until } from "./until.ts";

/** Starts a tgtd on loopback, recorded as `tgtd` in the state directory, and waits until it answers. */
export async function startLoopbackTgtd(
  stateDirectory: string,
  daemon: { control: number; loopbackPort: number },
  targets: TargetServer,
  signal: AbortSignal,
): Promise<void> {
  await recordTgtdSocket(stateDirectory, daemon.control);
  const argv = ["tgtd", ...tgtdArguments(daemon)];
  await startProcess(stateDirectory, argv, { name: "tgtd", stdio: ["ignore", "ignore", "ignore"] });
  await until("tgtd answers", () =>
    targets.list(daemon.control, signal).then(
      () => true,
      () => false,
    ),
  );
}
