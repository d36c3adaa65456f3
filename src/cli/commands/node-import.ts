import type { Command } from "commander";
import type { ImportedNode } from "../answers.ts";
import { choice, examples, type Open } from "../command.ts";
import { path } from "../session.ts";
import { formatCount } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

type ImportOptions = {
  network: string;
  firmware: string;
  bootNic?: string;
  loader?: string;
  power: string;
  dryRun?: boolean;
};

/** `ingot node import …`, below `ingot node`. */
export function addNodeImportCommand(node: Command, open: Open): void {
  node
    .command("import [nodes...]")
    .description("register machines that HIL knows, by its names; all of them without any")
    .requiredOption("--network <network>", "provisioning network of the NIC that they boot from")
    .addOption(choice("--firmware <kind>", "what their firmware is", ["bios", "uefi"]).makeOptionMandatory())
    .addOption(choice("--from <whom>", "who knows them", ["hil"]).default("hil"))
    .option("--boot-nic <label>", "HIL's label of the NIC that they boot from; the first one otherwise")
    .addOption(choice("--loader <which>", "use a capable iPXE in the firmware, or always ours", ["auto", "ours"]))
    .addOption(choice("--power <how>", "through HIL, or switched by hand", ["hil", "manual"]).default("hil"))
    .option("--dry-run", "only say what would become of each")
    .option("-y, --yes", "do not ask")
    .addHelpText(
      "after",
      examples(
        "ingot node import --network prov --firmware uefi --dry-run",
        "ingot node import dell-07 dell-08 --boot-nic em1 --network prov --firmware bios",
      ),
    )
    .action(async (nodes: string[], options: ImportOptions, command: Command) => {
      const session = open(command);
      const { network, firmware, bootNic, loader, power, dryRun = false } = options;
      const post = (names: string[], isDry: boolean) =>
        session.api.post<ImportedNode[]>(path("nodes", "import"), {
          ...{ network, firmware, power, ...(bootNic && { bootNic }), ...(loader && { loader }) },
          ...{ nodes: names, project: session.project, dryRun: isDry },
        });
      const planned = await post(nodes, true);
      const show = (rows: ImportedNode[]) => {
        session.answerTable(rows, COLUMNS, "HIL shows no nodes");
        for (const { isolatedAs, reason } of rows) if (reason !== undefined) session.note(`${isolatedAs}: ${reason}`);
      };
      if (dryRun || !planned.some(isChange)) return show(planned);
      if (session.asks) {
        show(planned);
        await session.confirm(`Take over ${formatCount(planned.filter(isChange).length, "node")}?`);
      }
      const rows: ImportedNode[] = [];
      for (const plan of planned) {
        const [row = plan] = isChange(plan) ? await post([plan.isolatedAs], false) : [plan];
        rows.push(row);
        if (isChange(plan)) session.note(`${row.isolatedAs}: ${row.outcome}`);
      }
      show(rows);
    });
}

function isChange({ outcome }: ImportedNode): boolean {
  return outcome === "new" || outcome === "cabled";
}

const COLUMNS: Column<ImportedNode>[] = [
  { title: "IN HIL", show: ({ isolatedAs }) => isolatedAs, cut: "end" },
  { title: "NODE", show: ({ node }) => node ?? "", cut: "end" },
  { title: "OUTCOME", show: ({ outcome }) => outcome },
  { title: "PROJECT", show: ({ project }) => project ?? "", cut: "end" },
  { title: "BOOTS FROM", show: ({ bootNic }) => (bootNic ? `${bootNic.label} ${bootNic.mac}` : "") },
];
