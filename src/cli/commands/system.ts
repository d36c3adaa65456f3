import type { Command } from "commander";
import type { DhcpAnswer, Finding, PoolFill, Status } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { CommandEnd } from "../command-end.ts";
import { UNHEALTHY } from "../exit-codes.ts";
import { formatFacts } from "../text/facts.ts";
import { formatBytes, formatCount, formatDuration } from "../text/quantity.ts";
import { formatTable } from "../text/table.ts";
import { wrap } from "../text/wrap.ts";
import { OPERATION_COLUMNS } from "./operation.ts";

/** `ingot status` and `ingot doctor`. */
export function addSystemCommands(program: Command, open: Open): void {
  program
    .command("status")
    .description("the appliance at a glance")
    .addHelpText("after", examples("ingot status", "ingot status --json | jq .pool"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const status = await session.api.get<Status>("/v1/system");
      session.answer(status, () => formatStatus(status, session.terminal.columns));
    });

  program
    .command("doctor")
    .description("look at everything that a boot needs, and say what to do")
    .addHelpText("after", examples("ingot doctor", "ingot doctor --json | jq '.[] | select(.state != \"ok\")'"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const findings = await session.api.get<Finding[]>("/v1/system/doctor");
      session.answer(findings, () => formatFindings(findings, session.terminal.columns));
      const failed = findings.filter(({ state }) => state === "failed").length;
      if (failed > 0) throw new CommandEnd(`${failed} of ${findings.length} findings failed`, UNHEALTHY);
    });
}

function formatStatus(status: Status, width: number): string {
  const { appliance, version, uptimeSeconds, networks, pool, counts, schedules, operations } = status;
  const { nodes, provisioned, stalled, images, disks, deleted, leases, discovered } = counts;
  const facts = formatFacts({
    ingot: `${version}, up ${formatDuration(uptimeSeconds)} (${appliance})`,
    ...Object.fromEntries(
      networks.map(({ name, interface: on, subnet, address, leases: given, dhcp }) => [
        `network ${name}`,
        `${subnet} on ${on} as ${address}, ${formatDhcp(dhcp)}${formatCount(given, "lease")}`,
      ]),
    ),
    pool:
      "code" in pool
        ? `not reachable: ${pool.message}`
        : `${formatBytes(pool.freeBytes)} of ${formatBytes(pool.totalBytes)} free (${pool.filesystem})${formatLevel(pool)}`,
    nodes: `${nodes}, ${provisioned} provisioned${stalled > 0 ? `, ${stalled} stalled` : ""}; ${discovered} discovered`,
    images: String(images),
    disks: `${disks}${deleted > 0 ? `; ${deleted} deleted` : ""}`,
    ...(schedules.disks > 0 ? { schedules: formatSchedules(schedules) } : {}),
    leases: String(leases),
  });
  const under =
    operations.length === 0 ? "no operation is under way\n" : formatTable(OPERATION_COLUMNS, operations, width);
  return `${facts}\n${under}`;
}

function formatSchedules({ disks, failures }: Status["schedules"]): string {
  if (failures.length === 0) return `${formatCount(disks, "disk")}, all in time`;
  return `${formatCount(disks, "disk")}, ${failures.length} of them not snapshotted: see ingot doctor`;
}

function formatLevel({ level, usedPercent }: PoolFill): string {
  return level === "ok" ? "" : `; ${usedPercent} % used, ${level}: see ingot pool show`;
}

function formatDhcp(dhcp: DhcpAnswer | undefined): string {
  if (!dhcp) return "";
  const others = dhcp.foreign.map(({ address }) => address).join(", ");
  const { limited, shed, dropped } = dhcp.drops ?? { limited: 0, shed: 0, dropped: 0 };
  const drops = limited + shed + dropped;
  const flood = drops > 0 ? `, ${formatCount(drops, "request")} dropped` : "";
  return `DHCP ${dhcp.role}${others ? ` beside ${others}` : ""}${flood}, `;
}

/** Where the text of a finding begins, behind its state and check. */
const FINDING_INDENT = 21;
const REMEDY_INDENT = 8;

function formatFindings(findings: Finding[], width: number): string {
  return findings
    .map(({ check, subject, state, message, remedy }) => {
      const text = wrap(`${state.padEnd(8)}${check.padEnd(13)}${subject}: ${message}`, width, FINDING_INDENT);
      if (remedy === undefined) return `${text}\n`;
      return `${text}\n${wrap(`${" ".repeat(REMEDY_INDENT)}remedy: ${remedy}`, width, REMEDY_INDENT + 2)}\n`;
    })
    .join("");
}
