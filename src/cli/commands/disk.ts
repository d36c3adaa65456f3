import type { Command } from "commander";
import type { Disk, Operation } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { formatFacts } from "../text/facts.ts";
import { formatAgo, formatBytes, formatMoment } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

/** `ingot disk …` */
export function addDiskCommands(program: Command, open: Open): void {
  const disk = program.command("disk").description("writable clones of images, each for one node");

  disk
    .command("list")
    .description("all disks")
    .addHelpText("after", examples("ingot disk list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const disks = await session.api.get<Disk[]>(session.projectPath("disks"));
      session.answerTable(disks, COLUMNS, "no disks yet; ingot provision makes one");
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

  disk
    .command("rm <name>")
    .description("delete a disk for good")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot disk rm node-1-1"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Delete disk ${name} for good?`);
      await session.finish(await session.api.delete<Operation>(session.projectPath("disks", name)));
    });
}

const COLUMNS: Column<Disk>[] = [
  { title: "DISK", show: ({ name }) => name, cut: "end" },
  { title: "NODE", show: ({ node }) => node ?? "-", cut: "end" },
  { title: "IMAGE", show: ({ image }) => image, cut: "end" },
  { title: "SIZE", show: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { title: "STATE", show: formatState },
  { title: "MADE", show: ({ createdAt }) => formatAgo(createdAt) },
];

function formatState({ node, clean }: Disk): string {
  return node !== undefined ? "in use" : clean ? "clean" : "unclean";
}

function formatDisk(disk: Disk): string {
  const { name, id, node, image, sizeBytes, createdAt, requestedBy } = disk;
  return formatFacts({
    disk: name,
    id,
    node: node ?? "none",
    image,
    size: formatBytes(sizeBytes),
    state: formatState(disk),
    made: `${formatMoment(createdAt)} by ${requestedBy}`,
  });
}
