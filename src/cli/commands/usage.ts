import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import type { Tenure, Usage } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { formatMoment } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

type WhoOptions = { node?: string; address?: string; disk?: string; at?: string };

/** `ingot who`, `ingot usage` */
export function addUsageCommands(program: Command, open: Open): void {
  program
    .command("who")
    .description("who had a node, an address or a disk at a time")
    .option("--node <name>", "a node, by name or id")
    .option("--address <address>", "what had this address on a provisioning network")
    .option("--disk <name>", "a disk, by name or id")
    .option("--at <time>", "as 2026-11-20T13:42, where you are; now by default")
    .addHelpText("after", examples("ingot who --address 10.0.0.21 --at 2026-11-20T13:42", "ingot who --disk web"))
    .action(async ({ at, ...of }: WhoOptions, command: Command) => {
      const session = open(command);
      const query = new URLSearchParams({ ...of, ...(at === undefined ? {} : { at: parseMoment(at) }) });
      const found = await session.api.get<Tenure[]>(`/v1/audit/who?${query}`);
      session.answerTable(found, WHO, "nobody had that then");
    });

  program
    .command("usage")
    .description("node-hours and GiB-hours of disks, per project and month")
    .option("--month <month>", "as 2026-11, in UTC; the one that lasts by default")
    .option("--csv", "as comma-separated values")
    .addHelpText("after", examples("ingot usage", "ingot usage --month 2026-10 --csv > october.csv"))
    .action(async ({ month, csv }: { month?: string; csv?: boolean }, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Usage[]>(
        `/v1/usage${month === undefined ? "" : `?month=${encodeURIComponent(month)}`}`,
      );
      if (csv) session.answer(found, () => formatCsv(found));
      else session.answerTable(found, USAGE, "nothing was used");
    });
}

const WHO: Column<Tenure>[] = [
  { title: "PROJECT", show: ({ project }) => project, cut: "end" },
  { title: "BY", show: ({ requestedBy }) => requestedBy ?? "-", cut: "end" },
  { title: "NODE", show: ({ node }) => node ?? "-", cut: "end" },
  { title: "DISK", show: ({ diskName, disk }) => diskName ?? disk, cut: "end" },
  { title: "ADDRESS", show: ({ address }) => address ?? "-" },
  { title: "SINCE", show: ({ since }) => formatMoment(since) },
  { title: "UNTIL", show: ({ until }) => (until === undefined ? "" : formatMoment(until)) },
];

const USAGE: Column<Usage>[] = [
  { title: "MONTH", show: ({ month }) => month },
  { title: "PROJECT", show: ({ project }) => project, cut: "end" },
  { title: "NODE-HOURS", show: ({ nodeHours }) => nodeHours.toFixed(1), align: "right" },
  { title: "GIB-HOURS", show: ({ gibHours }) => gibHours.toFixed(1), align: "right" },
];

/** Names of projects hold neither commas nor quotes. */
function formatCsv(rows: Usage[]): string {
  const lines = rows.map(({ month, project, nodeHours, gibHours }) =>
    [month, project, nodeHours.toFixed(3), gibHours.toFixed(3)].join(","),
  );
  return ["month,project,node_hours,gib_hours", ...lines].map((line) => `${line}\n`).join("");
}

function parseMoment(text: string): string {
  const at = Date.parse(text);
  if (!Number.isNaN(at)) return new Date(at).toISOString();
  throw new ApplianceError("INVALID", `--at: "${text}" is no time`, {
    details: { field: "--at", value: text, remedy: "write it like 2026-11-20T13:42" },
  });
}
