import { type FileHandle, open as openFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import { parseDuration } from "../../values/duration.ts";
import type { AuditEntry, AuditVerdict } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { CommandEnd } from "../command-end.ts";
import { UNHEALTHY } from "../exit-codes.ts";
import { formatMoment } from "../text/quantity.ts";
import { type Column, formatTable } from "../text/table.ts";

type ListOptions = { who?: string; since?: string; operation?: string; limit: string };

/** `ingot audit …` */
export function addAuditCommands(program: Command, open: Open): void {
  const audit = program.command("audit").description("who did what, and what came of it");

  audit
    .command("list")
    .description("the last entries; with --project, those of a project")
    .option("--who <name>", "of one caller, as token:ci or user:ada")
    .option("--since <time>", "not older than this, as 2h or 7d")
    .option("--operation <id>", "of one operation")
    .option("--limit <n>", "at most so many, up to 1000", "50")
    .addHelpText("after", examples("ingot audit list --since 1d", "ingot --project lab audit list --who user:ada"))
    .action(async ({ who, since, operation, limit }: ListOptions, command: Command) => {
      const session = open(command);
      const { project } = command.optsWithGlobals<{ project?: string }>();
      const from = since && new Date(Date.now() - parseDuration(since, "--since") * 1000).toISOString();
      const asked = Object.entries({ who, operation, limit, project, since: from }).filter(([, value]) => value);
      const query = new URLSearchParams(asked as [string, string][]);
      const entries = await session.api.get<AuditEntry[]>(`/v1/audit?${query}`);
      entries.reverse();
      // what was answered needs no second line; asked and not answered is a crash, or under way
      const answered = new Set(entries.filter(({ kind }) => kind === "answer").map(({ requestId }) => requestId));
      const told = entries.filter(({ kind, requestId }) => kind !== "request" || !answered.has(requestId));
      const text = () =>
        told.length === 0 ? "no such entries\n" : formatTable(COLUMNS, told, session.terminal.columns);
      session.answer(entries, text);
    });

  audit
    .command("export <file>")
    .description("all of it, as JSON lines that are a chain of hashes")
    .addHelpText("after", examples("ingot audit export audit.jsonl"))
    .action(async (file: string, _: object, command: Command) => {
      const session = open(command);
      const target = await createFile(file);
      const { body } = await session.api.fetch("/v1/audit/lines", {});
      await pipeline(body, target.createWriteStream());
      session.answer({ file }, () => `the audit log is in ${file}\n`);
    });

  audit
    .command("verify")
    .description("whether anything in it was changed, taken out or put in")
    .addHelpText("after", examples("ingot audit verify"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const verdict = await session.api.get<AuditVerdict>("/v1/audit/verdict");
      const { last = 0, first = last, head, faults } = verdict;
      session.answer(verdict, () =>
        faults.length === 0
          ? `entries ${first} to ${last} are one unbroken chain; keep its head elsewhere:\n${head}\n`
          : `${faults.map((fault) => `  ${fault}`).join("\n")}\n`,
      );
      if (faults.length > 0) throw new CommandEnd("the audit log is not as it was written", UNHEALTHY);
    });
}

async function createFile(file: string): Promise<FileHandle> {
  try {
    return await openFile(file, "wx", 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ApplianceError("INVALID", `${file} can't be made (${code})`, {
      details: {
        field: "file",
        value: file,
        remedy: "name a file that is not there, in a directory that you may write",
      },
      cause,
    });
  }
}

const COLUMNS: Column<AuditEntry>[] = [
  { title: "AT", show: ({ at }) => formatMoment(at) },
  { title: "WHO", show: ({ who, from }) => who ?? from ?? "-", cut: "end" },
  { title: "WHAT", show: formatWhat, cut: "middle" },
  { title: "RESULT", show: formatResult },
];

function formatWhat({ kind, method, path, summary, why }: AuditEntry): string {
  if (kind === "gap") return why ?? "";
  return summary ?? `${method} ${path?.replace(/^\/v1/, "")}`;
}

function formatResult({ kind, status, code, state, operation }: AuditEntry): string {
  if (kind === "gap") return "gap";
  if (kind === "request") return "asked";
  if (kind === "operation") return code ? `${state}, ${code}` : (state ?? "");
  return code ?? (operation === undefined ? String(status) : "began");
}
