import { type Command, Option } from "commander";
import { ApplianceError } from "../../errors.ts";
import { parseBytes } from "../../values/bytes.ts";
import { parseDuration } from "../../values/duration.ts";
import type { Disk, Operation, OrphanDisk } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { formatAgo, formatBytes } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

/** How disks come and go: `ingot disk create`, `rename`, `rm`, … */
export function addDiskLifeCommands(disk: Command, open: Open): void {
  disk
    .command("create <name>")
    .description("make a blank disk")
    .requiredOption("--size <size>", "as 10G")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk create scratch --size 100G"))
    .action(async (name: string, { size }: { size: string }, command: Command) => {
      const session = open(command);
      const request = { name, sizeBytes: parseBytes(size, "--size") };
      await session.finish(await session.api.post<Operation>(session.projectPath("disks"), request));
    });

  disk
    .command("rename <name> <to>")
    .description("give a disk another name; a node goes on with it")
    .addHelpText("after", examples("ingot disk rename node-1-1 web"))
    .action(async (name: string, to: string, command: Command) => {
      const session = open(command);
      const renamed = await session.api.patch<Disk>(session.projectPath("disks", name), { name: to });
      session.answer(renamed, () => `disk ${name} is called ${renamed.name} now\n`);
    });

  disk
    .command("rm <name>")
    .description("delete a disk; until the grace is over (disks.graceHours) ingot disk undelete brings it back")
    .option("--now", "for good, at once")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk rm node-1-1", "ingot disk rm node-1-1 --now"))
    .action(async (name: string, { now }: { now?: boolean }, command: Command) => {
      const session = open(command);
      await session.confirm(`Delete disk ${name}${now ? " for good" : ""}?`);
      const path = `${session.projectPath("disks", name)}${now ? "?now=true" : ""}`;
      await session.finish(await session.api.delete<Operation>(path));
    });

  disk
    .command("undelete <name>")
    .description("bring a deleted disk back")
    .option("--as <name>", "under another name, where its own was taken meanwhile")
    .addHelpText("after", examples("ingot disk undelete node-1-1", "ingot disk undelete node-1-1 --as node-1-old"))
    .action(async (name: string, request: { as?: string }, command: Command) => {
      const session = open(command);
      const back = await session.api.post<Disk>(session.projectPath("disks", name, "undelete"), request);
      session.answer(back, () => `disk ${back.name} is back\n`);
    });

  disk
    .command("purge <name>")
    .description("delete for good a disk that is deleted already")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk purge node-1-1"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Delete disk ${name} for good?`);
      await session.finish(await session.api.post<Operation>(session.projectPath("disks", name, "purge"), {}));
    });

  disk
    .command("schedule <name>")
    .description("have snapshots of a disk taken by themselves, and the older ones of them removed")
    .addOption(new Option("--every <time>", "as 30m, 6h or 1d").conflicts("off"))
    .option("--keep <n>", "so many stay; one that something uses stays anyway", "7")
    .option("--off", "take none any more; those that there are stay")
    .addHelpText("after", examples("ingot disk schedule web --every 6h --keep 7", "ingot disk schedule web --off"))
    .action(async (name: string, { every, keep, off }: ScheduleOptions, command: Command) => {
      const session = open(command);
      const path = session.projectPath("disks", name, "schedule");
      if (off) {
        const disk = await session.api.delete<Disk>(path);
        session.answer(disk, () => `no more snapshots of disk ${name} are taken\n`);
        return;
      }
      const request = { everySeconds: parseDuration(every ?? "", "--every"), keep: Number(keep) };
      const disk = await session.api.put<Disk>(path, request);
      session.answer(disk, () => `a snapshot of disk ${name} every ${every}; ${keep} of them stay\n`);
    });

  disk
    .command("limit <name>")
    .description("limit what a disk of Ceph does in a second, at once, while a node has it; for operators")
    .option("--iops <n>", "so many reads and writes, or none: no limit")
    .option("--bytes-per-second <size>", "so many bytes of both, as 100M, or none")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples("ingot disk limit web --iops 2000 --bytes-per-second 100M", "ingot disk limit web --iops none"),
    )
    .action(async (name: string, { iops, bytesPerSecond }: LimitOptions, command: Command) => {
      const session = open(command);
      const request = {
        iops: limitOf("--iops", iops, parseCount),
        bytesPerSecond: limitOf("--bytes-per-second", bytesPerSecond, parseBytes),
      };
      if (Object.values(request).every((one) => one === undefined)) throw noLimitGiven();
      await session.finish(await session.api.patch<Operation>(session.projectPath("disks", name, "limits"), request));
    });

  disk
    .command("orphans")
    .description("disks that no node has, those that were left longest ago first")
    .addHelpText("after", examples("ingot disk orphans"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const orphans = await session.api.get<OrphanDisk[]>(session.projectPath("orphans"));
      session.answerTable(orphans, ORPHAN_COLUMNS, "every disk is on a node");
    });
}

type LimitOptions = { iops?: string; bytesPerSecond?: string };

function limitOf(field: string, text: string | undefined, parse: (text: string, field: string) => number) {
  return text === "none" ? null : text === undefined ? undefined : parse(text, field);
}

function parseCount(text: string, field: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ApplianceError("INVALID", `${field}: "${text}" is no number`, {
    details: { field, value: text, remedy: "give a whole number, or none" },
  });
}

function noLimitGiven(): ApplianceError {
  return new ApplianceError("INVALID", "--iops, --bytes-per-second: neither is given", {
    details: { field: "--iops", remedy: "give one of them or both: a number, or none to end the limit" },
  });
}

type ScheduleOptions = { every?: string; keep: string; off?: boolean };

const ORPHAN_COLUMNS: Column<OrphanDisk>[] = [
  { title: "DISK", show: ({ name }) => name, cut: "end" },
  { title: "IMAGE", show: ({ image }) => image ?? "-", cut: "end" },
  { title: "SIZE", show: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { title: "USED", show: ({ usedBytes }) => (usedBytes === undefined ? "" : formatBytes(usedBytes)), align: "right" },
  { title: "FREE SINCE", show: ({ since }) => formatAgo(since) },
];
