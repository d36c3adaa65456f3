import type { Command } from "commander";
import type { AdoptionCandidate, Drift, NodeStanding, Operation } from "../answers.ts";
import { choice, examples, type Open } from "../command.ts";
import { formatBytes, formatCount } from "../text/quantity.ts";
import { type Column, formatTable } from "../text/table.ts";
import { wrap } from "../text/wrap.ts";

type AdoptOptions = { from?: string[]; undescribed?: string[]; dryRun?: boolean };

/** `ingot adopt` and `ingot reconcile`. */
export function addCatalogueCommands(program: Command, open: Open): void {
  addReconcile(program, open);
  program
    .command("adopt")
    .description("make records for images and disks that the pool has and this appliance does not know")
    .option("--from <appliance...>", "take over what belongs to an appliance that is gone")
    .option("--undescribed <id...>", "take what nobody has described, with its id for a name")
    .option("--dry-run", "show the differences, and change nothing")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples("ingot adopt --dry-run", "ingot adopt --from app-7k2m9q4x0b3d", "ingot adopt --undescribed disk-4p0v…"),
    )
    .action(async ({ from = [], undescribed = [], dryRun }: AdoptOptions, command: Command) => {
      const session = open(command);
      const choice = { from, undescribed, project: session.project };
      const compare = () => session.api.post<AdoptionCandidate[]>("/v1/system/adopt", { ...choice, dryRun: true });
      if (dryRun) {
        const found = await compare();
        return session.answer(found, () => formatCandidates(found, session.terminal.columns));
      }
      if (session.asks) {
        const found = await compare();
        session.terminal.err(formatCandidates(found, session.terminal.columns));
        const count = found.filter(({ adopted }) => adopted).length;
        if (count > 0) await session.confirm(`Adopt ${formatCount(count, "thing")}?`);
      }
      await session.finish(await session.api.post<Operation>("/v1/system/adopt", choice));
    });
}

function addReconcile(program: Command, open: Open): void {
  program
    .command("reconcile")
    .description("compare records with pool, targets, networks and BMCs; repair what you name")
    .option("--nodes", "what each of them says of each node, side by side")
    .addOption(choice("--repair <kind...>", "kinds to repair; without it nothing is changed", REPAIRS))
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples(
        "ingot reconcile",
        "ingot reconcile --nodes",
        "ingot reconcile --repair leftover",
        "ingot reconcile --json | jq '.[].kind'",
      ),
    )
    .action(async ({ repair, nodes }: { repair?: string[]; nodes?: boolean }, command: Command) => {
      const session = open(command);
      if (nodes) {
        const standings = await session.api.get<NodeStanding[]>("/v1/system/drift/nodes");
        return session.answerTable(standings, STANDING_COLUMNS, "no nodes yet");
      }
      if (repair === undefined) {
        const found = await session.api.get<Drift[]>("/v1/system/drift");
        return session.answer(found, () => formatDrift(found, session.terminal.columns));
      }
      const shown = session.asks ? await session.api.get<Drift[]>("/v1/system/drift") : undefined;
      const chosen = shown?.filter(({ kind }) => repair.includes(kind));
      if (chosen) {
        session.terminal.err(formatDrift(chosen, session.terminal.columns));
        if (chosen.length > 0) await session.confirm(`Repair ${formatCount(chosen.length, "thing")}?`);
      }
      const only = chosen?.map(({ kind, id, owner }) => ({ kind, id, owner }));
      await session.finish(await session.api.post<Operation>("/v1/system/reconcile", { repair, only }));
    });
}

const REPAIRS = [
  ...["content-missing", "size-differs", "taken", "attachment", "leftover", "former-target"],
  ...["networks", "owner", "powered"],
];

const STANDING_COLUMNS: Column<NodeStanding>[] = [
  { title: "", show: ({ disagrees, busy }) => (disagrees.length > 0 ? "!" : busy ? "~" : "") },
  { title: "NODE", show: ({ node }) => node, cut: "end" },
  { title: "RECORDS", show: ({ records, isolator }) => (isolator && formatStanding(records)) ?? "-", cut: "end" },
  { title: "ISOLATOR", show: ({ isolator }) => formatStanding(isolator) ?? "-", cut: "end" },
  { title: "DISK", show: ({ records }) => records.disk ?? "-", cut: "end" },
  { title: "TARGET", show: ({ target }) => (typeof target === "string" ? target : "?") },
  { title: "POWER", show: ({ power }) => (power === undefined ? "-" : typeof power === "string" ? power : "?") },
];

/** `red: prov+storage`; `?` for who did not answer. */
function formatStanding(said: NodeStanding["isolator"]): string | undefined {
  if (said === undefined) return undefined;
  if ("trouble" in said) return "?";
  const networks = said.networks.map(({ network }) => network).join("+");
  if (said.owner === undefined && networks === "") return "nobody";
  return `${said.owner ?? "nobody"}: ${networks || "no network"}`;
}

function formatDrift(found: Drift[], width: number): string {
  if (found.length === 0) return "all agree with the records\n";
  return found
    .map(({ kind, subject, message, remedy }) => {
      const text = wrap(`${kind}: ${subject} ${message}`, width, 2);
      return `${text}\n${wrap(`  -> ${remedy}`, width, 5)}\n`;
    })
    .join("");
}

const COLUMNS: Column<AdoptionCandidate>[] = [
  { title: "", show: ({ adopted }) => (adopted ? "+" : "") },
  { title: "NAME", show: ({ name }) => name, cut: "end" },
  { title: "KIND", show: ({ kind }) => kind },
  { title: "SIZE", show: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { title: "IS", show: ({ standing }) => standing },
  { title: "APPLIANCE", show: ({ appliance }) => appliance ?? "-" },
  { title: "NODE", show: ({ node }) => node ?? "-", cut: "end" },
];

const MEANINGS: Record<AdoptionCandidate["standing"], string> = {
  lost: "lost: belongs to this appliance, which has no record of it",
  gone: "gone: belongs to an appliance that is gone; --from APPLIANCE takes it over",
  living: "living: belongs to an appliance that lives, and stays there",
  undescribed: "undescribed: nobody has described it; --undescribed ID takes it",
  taken: "taken: on record here, but another appliance has adopted it",
  differs: "differs: its description is older than its record, and follows soon",
};

function formatCandidates(found: AdoptionCandidate[], width: number): string {
  if (found.length === 0) return "pool and records are the same\n";
  const rows = found.map((one) => (one.standing === "undescribed" ? { ...one, name: one.id } : one));
  const standings = [...new Set(found.map(({ standing }) => standing))];
  const legend = standings.map((standing) => `${wrap(MEANINGS[standing], width, 2)}\n`).join("");
  const adopted = found.filter((one) => one.adopted).length;
  return `${formatTable(COLUMNS, rows, width)}\n${legend}${formatCount(adopted, "thing")} to adopt (+)\n`;
}
