import type { Command } from "commander";
import { parseBytes } from "../../values/bytes.ts";
import type { Operation, Pool } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { formatFacts } from "../text/facts.ts";
import { formatBytes } from "../text/quantity.ts";
import { type Column, formatTable } from "../text/table.ts";
import { wrap } from "../text/wrap.ts";

/** `ingot pool …` */
export function addPoolCommands(program: Command, open: Open): void {
  const pool = program.command("pool").description("the room for images and disks");

  pool
    .command("show")
    .description("how full it is, and what takes up most of it")
    .addHelpText("after", examples("ingot pool show", "ingot pool show --json | jq .level"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Pool>("/v1/system/pool");
      session.answer(found, () => formatPool(found, session.terminal.columns));
    });

  pool
    .command("grow <size>")
    .description("make its file larger, under running nodes: to 300G, or by +100G")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot pool grow +100G", "ingot pool grow 300G"))
    .action(async (size: string, _: object, command: Command) => {
      const session = open(command);
      const request = size.startsWith("+")
        ? { addedBytes: parseBytes(size.slice(1)) }
        : { sizeBytes: parseBytes(size) };
      await session.finish(await session.api.post<Operation>("/v1/system/pool/grow", request));
    });
}

type Thing = Pool["largest"][number];

const COLUMNS: Column<Thing>[] = [
  { title: "LARGEST", show: ({ name, id }) => name ?? id, cut: "end" },
  { title: "KIND", show: ({ kind }) => kind },
  { title: "NODE", show: ({ node }) => node ?? "-", cut: "end" },
  { title: "SIZE", show: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { title: "USED", show: ({ usedBytes }) => formatBytes(usedBytes), align: "right" },
];

const SHARED = "USED counts what a thing shares with others: a clone its image's content. Removing it frees the rest.";

function formatPool(pool: Pool, width: number): string {
  const { level, usedPercent, totalBytes, freeBytes, ballastBytes, filesystem, place, watermarks, file } = pool;
  const facts = formatFacts({
    pool: `${place} (${filesystem})`,
    level: `${level}: ${MEANINGS[level]}`,
    used: `${usedPercent} % of ${formatBytes(totalBytes)}; ${formatBytes(freeBytes)} free, ${formatBytes(ballastBytes)} held back`,
    marks: `warn at ${watermarks.warn} %, close at ${watermarks.close} %, critical at ${watermarks.critical} %`,
    file: file && `${file.path}, ${formatBytes(file.sizeBytes)}${formatHoles(file)}`,
    "disk below": file && `${formatBytes(file.diskFreeBytes)} free`,
  });
  if (pool.largest.length === 0) return facts;
  return `${facts}\n${formatTable(COLUMNS, pool.largest, width)}${wrap(SHARED, width, 0)}\n`;
}

const MEANINGS: Record<Pool["level"], string> = {
  ok: "there is room",
  warn: "it fills up",
  closed: "no new clones, imports and snapshots",
  critical: "writes of running nodes are about to fail",
};

function formatHoles({ sizeBytes, allocatedBytes }: NonNullable<Pool["file"]>): string {
  return allocatedBytes < sizeBytes ? `, sparse: ${formatBytes(sizeBytes - allocatedBytes)} without blocks` : "";
}
