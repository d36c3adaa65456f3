import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import type { Disk, Operation } from "../answers.ts";
import { addTakingOptions, examples, type Open } from "../command.ts";
import { formatFacts } from "../text/facts.ts";
import { formatAgo, formatBytes, formatDuration, formatMoment } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";
import { addDiskLifeCommands } from "./disk-life.ts";

type AttachOptions = { readOnly?: boolean; lun?: number; forceOff?: boolean; seenOff?: boolean };

/** `ingot disk …` */
export function addDiskCommands(program: Command, open: Open): void {
  const disk = program.command("disk").description("writable clones of images, each for one node");

  disk
    .command("list")
    .description("all disks")
    .option("--deleted", "those that are deleted and can be undeleted")
    .addHelpText("after", examples("ingot disk list", "ingot disk list --deleted"))
    .action(async ({ deleted }: { deleted?: boolean }, command: Command) => {
      const session = open(command);
      const disks = await session.api.get<Disk[]>(`${session.projectPath("disks")}${deleted ? "?deleted=true" : ""}`);
      if (deleted) session.answerTable(disks, DELETED_COLUMNS, "no deleted disks");
      else session.answerTable(disks, COLUMNS, "no disks yet; ingot provision and ingot disk create make one");
    });

  disk
    .command("show <name>")
    .description("one disk")
    .addHelpText("after", examples("ingot disk show node-1-1"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Disk>(session.projectPath("disks", name));
      session.answer(found, () => formatDisk(found));
    });

  disk
    .command("snapshot <name>")
    .description("make an image from what a disk holds now")
    .requiredOption("--as <image>", "name of the new image")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk snapshot node-1-1 --as debian-with-docker"))
    .action(async (name: string, { as: image }: { as: string }, command: Command) => {
      const session = open(command);
      await session.finish(
        await session.api.post<Operation>(session.projectPath("disks", name, "snapshot"), { image }),
      );
    });

  disk
    .command("revert <name>")
    .description("put an image's content back into a disk whose node is off")
    .option("--image <image>", "by default the one that it was cloned from")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples("ingot disk revert node-1-1", "ingot disk revert node-1-1 --image debian-with-docker"),
    )
    .action(async (name: string, { image }: { image?: string }, command: Command) => {
      const session = open(command);
      await session.confirm(`Lose what disk ${name} holds now?`);
      const request = image === undefined ? {} : { image };
      await session.finish(await session.api.post<Operation>(session.projectPath("disks", name, "revert"), request));
    });

  disk
    .command("flatten <name>")
    .description("copy what it shares with its image, so that it stands alone; a node goes on with it")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk flatten node-1-1", "ingot disk flatten node-1-1 --no-wait"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.finish(await session.api.post<Operation>(session.projectPath("disks", name, "flatten"), {}));
    });

  const attach = disk
    .command("attach <name> <node>")
    .description("give a running node a disk beside the one that it boots")
    .option("--read-only", "its node can't write to it: to look at the disk of a failed node")
    .option("--lun <number>", "where the node finds it, 2 to 255; the lowest free one by default", parseLun);
  addTakingOptions(attach, "boots the disk")
    .addHelpText(
      "after",
      examples(
        "ingot disk attach results node-1",
        "ingot disk attach node-1-1 node-2 --read-only --force-off",
        "iscsiadm -m session --rescan   # on the node, then look in /dev/disk/by-path",
      ),
    )
    .action(async (name: string, node: string, options: AttachOptions, command: Command) => {
      const session = open(command);
      const { readOnly, lun, forceOff, seenOff } = options;
      if (forceOff) await session.confirm(`Cut the power of the node that boots disk ${name}, if one does?`);
      const request = { node, readOnly, lun, forceOff, seenOff };
      await session.finish(await session.api.post<Operation>(session.projectPath("disks", name, "attach"), request));
    });

  disk
    .command("detach <name>")
    .description("take a data disk from its node, which is off or has let go of it, and keep it")
    .option("--unmounted", "you unmounted it there and deleted its device: the node may be on")
    .option("--seen-off", "you saw the node off: do not ask its BMC, which may be dead")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk detach results", "ingot disk detach results --unmounted"))
    .action(async (name: string, options: { unmounted?: boolean; seenOff?: boolean }, command: Command) => {
      const session = open(command);
      const { unmounted, seenOff } = options;
      const request = { unmounted, seenOff };
      await session.finish(await session.api.post<Operation>(session.projectPath("disks", name, "detach"), request));
    });

  addDiskLifeCommands(disk, open);
}

const DELETED_COLUMNS: Column<Disk>[] = [
  { title: "DISK", show: ({ name }) => name, cut: "end" },
  { title: "ID", show: ({ id }) => id },
  { title: "SIZE", show: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { title: "DELETED", show: ({ deletedAt = "" }) => formatAgo(deletedAt) },
];

const COLUMNS: Column<Disk>[] = [
  { title: "DISK", show: ({ name }) => name, cut: "end" },
  { title: "NODE", show: ({ node }) => node ?? "-", cut: "end" },
  { title: "IMAGE", show: ({ image }) => image ?? "-", cut: "end" },
  { title: "SIZE", show: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { title: "STATE", show: formatState },
  { title: "MADE", show: ({ createdAt }) => formatAgo(createdAt) },
];

function parseLun(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new ApplianceError("INVALID", `--lun: "${text}" is no number`, {
    details: { field: "--lun", value: text, remedy: "give a LUN from 2 to 255, or leave it out" },
  });
}

function formatState({ node, lun, readOnly, clean }: Disk): string {
  if (node === undefined) return clean ? "clean" : "unclean";
  return lun === 1 ? "in use" : `LUN ${lun}${readOnly ? " ro" : ""}`;
}

function formatDisk(disk: Disk): string {
  const { name, id, node, image, depth, limits, schedule, sizeBytes, createdAt, requestedBy } = disk;
  return formatFacts({
    disk: name,
    id,
    node: node ?? "none",
    image: image ?? "none: it began blank",
    depth: depth > 0 ? `reads go through ${depth} others at most` : undefined,
    size: formatBytes(sizeBytes),
    limits: limits && formatLimits(limits),
    schedule: schedule && formatSchedule(schedule),
    state: formatState(disk),
    made: `${formatMoment(createdAt)} by ${requestedBy}`,
  });
}

function formatLimits({ iops, bytesPerSecond }: NonNullable<Disk["limits"]>): string {
  const each = [iops && `${iops} IOPS`, bytesPerSecond && `${formatBytes(bytesPerSecond)}/s`];
  return `${each.filter(Boolean).join(", ")} at most`;
}

function formatSchedule({ everySeconds, keep, lastAt, failure }: NonNullable<Disk["schedule"]>): string {
  const last = failure
    ? `failed ${formatAgo(failure.at)}: ${failure.message}`
    : lastAt
      ? `last ${formatAgo(lastAt)}`
      : "none yet";
  return `a snapshot every ${formatDuration(everySeconds)}, ${keep} stay; ${last}`;
}
