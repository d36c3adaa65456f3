import { toApplianceError } from "../../errors.ts";
import { addressCheck } from "./addresses.ts";
import { assetsCheck } from "./assets.ts";
import { authenticatorCheck } from "./authenticators.ts";
import { bmcCheck } from "./bmcs.ts";
import { bootServerCheck } from "./boot-servers.ts";
import { bootCheck } from "./boots.ts";
import { catalogueCheck } from "./catalogue.ts";
import { clockCheck } from "./clock.ts";
import { configCheck } from "./config.ts";
import { dhcpCheck } from "./dhcp.ts";
import type { Check, Finding, Patient } from "./finding.ts";
import { incomingCheck } from "./incoming.ts";
import { interfaceCheck } from "./interfaces.ts";
import { isolatorCheck } from "./isolator.ts";
import { operationCheck } from "./operations.ts";
import { poolCheck } from "./pool.ts";
import { portCheck } from "./ports.ts";
import { scheduleCheck } from "./schedules.ts";
import { stateDiskCheck } from "./state-disk.ts";
import { targetCheck } from "./targets.ts";

const CHECKS: readonly Check[] = [
  configCheck,
  clockCheck,
  interfaceCheck,
  portCheck,
  dhcpCheck,
  addressCheck,
  assetsCheck,
  bootServerCheck,
  stateDiskCheck,
  poolCheck,
  incomingCheck,
  catalogueCheck,
  targetCheck,
  isolatorCheck,
  authenticatorCheck,
  bmcCheck,
  bootCheck,
  operationCheck,
  scheduleCheck,
];
/** A doctor who keeps people waiting is not asked again. */
const DEADLINE_MS = 20_000;
/** In which a check that obeys its deadline says what it has found by then. */
const LAST_WORDS_MS = 500;

/** Looks at everything that a boot needs, all at once, within 20 s; changes nothing. Findings in the order of a boot. */
export async function runDoctor(
  patient: Patient,
  { checks = CHECKS, deadlineMs = DEADLINE_MS }: { checks?: readonly Check[]; deadlineMs?: number } = {},
): Promise<Finding[]> {
  const findings = await Promise.all(checks.map((check) => runCheck(check, patient, deadlineMs)));
  return findings.flat();
}

async function runCheck(check: Check, patient: Patient, deadlineMs: number): Promise<Finding[]> {
  const deadline = AbortSignal.timeout(deadlineMs);
  const failed = (message: string, remedy: string): Finding[] => [
    { check: check.name, subject: check.name, state: "failed", message, remedy },
  ];
  const late = new Promise<Finding[]>((resolve) => {
    const giveUp = () =>
      resolve(
        failed(`no result within ${deadlineMs / 1000} s`, "something hangs: look at the log and at the machine's load"),
      );
    deadline.addEventListener("abort", () => setTimeout(giveUp, LAST_WORDS_MS), { once: true });
  });
  const run = check.run(patient, deadline).catch((error) => {
    const { message, details } = toApplianceError(error);
    return failed(message, details.remedy ?? "look at the log: journalctl -u ingot");
  });
  return Promise.race([run, late]);
}
