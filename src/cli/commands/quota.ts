import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import { parseBytes } from "../../values/bytes.ts";
import type { Quota } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { path } from "../session.ts";
import { formatFacts } from "../text/facts.ts";
import { formatBytes } from "../text/quantity.ts";

type Limits = { nodes?: string; disks?: string; images?: string; networks?: string; bytes?: string };

/** `ingot quota …` */
export function addQuotaCommands(program: Command, open: Open): void {
  const quota = program.command("quota").description("how much a project may have");

  quota
    .command("show <project>")
    .description("what a project has, and may have")
    .addHelpText("after", examples("ingot quota show lab"))
    .action(async (project: string, _: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Quota>(path("projects", project, "quota"));
      session.answer(found, () => formatQuota(found));
    });

  quota
    .command("set <project>")
    .description("limit what a project may have; what it has already stays")
    .option("--nodes <n>", "so many nodes provisioned at a time, or none: no limit")
    .option("--disks <n>", "so many disks, or none")
    .option("--images <n>", "so many images, or none")
    .option("--networks <n>", "so many networks, or none")
    .option("--bytes <size>", "all of them together, as nodes see them, as 2T, or none")
    .addHelpText(
      "after",
      examples("ingot quota set lab --nodes 8 --disks 20 --bytes 2T", "ingot quota set lab --disks none"),
    )
    .action(async (project: string, { nodes, disks, images, networks, bytes }: Limits, command: Command) => {
      const session = open(command);
      const request = {
        nodes: limit("--nodes", nodes),
        disks: limit("--disks", disks),
        images: limit("--images", images),
        networks: limit("--networks", networks),
        bytes: limit("--bytes", bytes),
      };
      const set = await session.api.patch<Quota>(path("projects", project, "quota"), request);
      session.answer(set, () => formatQuota(set));
    });
}

function limit(field: string, text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  if (text === "none") return null;
  if (field === "--bytes") return parseBytes(text, field);
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ApplianceError("INVALID", `${field}: "${text}" is no number`, {
    details: { field, value: text, remedy: "give a whole number, or none" },
  });
}

function formatQuota({ used, limits }: Quota): string {
  const of = (has: string, limit: string | undefined) =>
    limit === undefined ? `${has}, no limit` : `${has} of ${limit}`;
  return formatFacts({
    "nodes provisioned": of(String(used.nodes), limits.nodes?.toString()),
    disks: of(String(used.disks), limits.disks?.toString()),
    images: of(String(used.images), limits.images?.toString()),
    networks: of(String(used.networks), limits.networks?.toString()),
    bytes: of(formatBytes(used.bytes), limits.bytes === undefined ? undefined : formatBytes(limits.bytes)),
  });
}
