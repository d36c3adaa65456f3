import type { BootStage } from "../boot/boot-event.ts";
import type { BootSession } from "../boot/boot-session.ts";
import { findFurthest, type Obstacle } from "../boot/stall.ts";
import { ApplianceError } from "../errors.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";
import type { Step } from "./operation.ts";
import { bootPlan } from "./stalls.ts";

/** A step that waits for a stage of the boot that `power-on` began, and says at the deadline where it stuck. */
export function awaitStage<Plan extends { mac: Mac; node: string; nodeName: string }>(
  appliance: Appliance,
  name: string,
  stage: BootStage,
  deadline: "loginSeconds" | "readySeconds",
): Step<Plan> {
  return {
    name,
    // the step's own deadline comes first, since it can say more
    deadlineSeconds: () => appliance.config.operations[deadline] + 5,
    run: async ({ plan, output, progress, signal }) => {
      const seconds = appliance.config.operations[deadline];
      const since = (output("power-on")?.at as number | undefined) ?? 0;
      const began = appliance.clock.now();
      const ticking = setInterval(() => {
        progress(Math.round((appliance.clock.now() - began) / 1000), seconds, "seconds");
      }, 1000);
      const late = AbortSignal.timeout(seconds * 1000);
      try {
        const boot = await reached(appliance, plan.mac, stage, since, AbortSignal.any([signal, late]));
        return { output: { boot: boot.id } };
      } catch (error) {
        if (!late.aborted || signal.aborted) throw error;
        const { symptom, causes } = whereItStands(appliance, plan, since);
        throw new ApplianceError(
          "TIMEOUT",
          `${plan.nodeName} did not come to ${stage} within ${seconds} s: ${symptom}`,
          {
            details: {
              node: plan.nodeName,
              remedy: causes.map(({ cause, remedy }) => `${cause}? ${remedy}`).join("; "),
            },
          },
        );
      } finally {
        clearInterval(ticking);
      }
    },
  };
}

/** The boot that reached the stage. An OS that phones home is up, whether or not its login was seen. */
async function reached(
  appliance: Appliance,
  mac: Mac,
  stage: BootStage,
  since: number,
  signal: AbortSignal,
): Promise<BootSession> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  try {
    return await Promise.any([stage, "ready" as const].map((one) => appliance.boots.waitFor(mac, one, since, either)));
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error;
  } finally {
    over.abort();
  }
}

/** What the boot since then waits for, or the one of several that came furthest. */
function whereItStands(
  appliance: Appliance,
  { mac, node, nodeName }: { mac: Mac; node: string; nodeName: string },
  since: number,
): Pick<Obstacle, "symptom" | "causes"> {
  const entry = bootEntryOf(appliance.records, node);
  const boots = appliance.boots.boots(mac).filter(({ lastAt }) => lastAt >= since);
  const furthest = entry && findFurthest(boots, bootPlan(appliance, entry));
  return (
    furthest ?? {
      symptom: "nothing was seen of it",
      causes: [{ cause: "it is off, or not connected", remedy: `ingot node timeline ${nodeName}` }],
    }
  );
}
