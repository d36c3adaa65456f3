import { BOOT_STAGES, type BootStage } from "../boot/boot-event.ts";
import type { BootSession } from "../boot/boot-session.ts";
import { ApplianceError } from "../errors.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import type { Step } from "./operation.ts";

/** What to look at when a boot got no further than this. */
const NEXT_LOOK: Partial<Record<BootStage | "nothing", string>> = {
  nothing: "no DHCP request came: is the node on, its boot NIC cabled to this network, PXE first in its boot order?",
  "power-on":
    "no DHCP request came: is the boot NIC cabled to this network, PXE first in its boot order, portfast on at the switch?",
  "dhcp-firmware":
    "an address was offered but no loader was fetched: does the switch pass unicast (STP, LACP on the boot NIC)?",
  "boot-file": "the loader was fetched but does not ask again: try the other loader for this firmware",
  "dhcp-ipxe": "iPXE got an address but asks for no script: can it reach the HTTP boot server?",
  script: "the script was fetched but nobody logs in: can the node reach the iSCSI portal?",
  "iscsi-login-firmware": "iPXE logged in, the OS does not: does the image's initramfs bring up iSCSI from the iBFT?",
  "first-read":
    "the boot loader reads its disk, the OS does not log in: does the image's initramfs bring up iSCSI from the iBFT?",
  "iscsi-login-os": "the OS runs from its disk but did not phone home: is the phone-home unit in the image?",
};

/** A step that waits for a stage of the boot that `power-on` began, and says at the deadline where it stuck. */
export function awaitStage<Plan extends { mac: Mac; nodeName: string }>(
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
        const furthest = furthestStage(appliance.boots.current(plan.mac), since) ?? "nothing";
        const remedy = NEXT_LOOK[furthest] ?? `ingot node timeline ${plan.nodeName}`;
        throw new ApplianceError(
          "TIMEOUT",
          `${plan.nodeName} got as far as ${furthest}, not to ${stage}, within ${seconds} s`,
          {
            details: { node: plan.nodeName, stage: furthest, remedy },
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

function furthestStage(boot: BootSession | undefined, since: number): BootStage | undefined {
  const seen = boot?.stages.filter((one) => one.lastAt >= since).map((one) => one.stage) ?? [];
  return seen.sort((a, b) => BOOT_STAGES.indexOf(b) - BOOT_STAGES.indexOf(a))[0];
}
