import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { COMPRESSIONS, IMAGE_FORMATS } from "../../values/image-format.ts";
import type { Image, Operation, Relative } from "../answers.ts";
import { choice, examples, type Open } from "../command.ts";
import { formatFacts } from "../text/facts.ts";
import { formatAgo, formatBytes, formatMoment } from "../text/quantity.ts";
import { type Column, formatTable } from "../text/table.ts";
import { branches } from "../text/tree.ts";
import { addUploadCommands } from "./image-upload.ts";

/** `ingot image …` */
export function addImageCommands(program: Command, open: Open): void {
  const image = program.command("image").description("golden images and snapshots, which disks are cloned from");

  image
    .command("import <name>")
    .description("make an image from a file on the appliance, or from a URL")
    .addOption(new Option("--file <path>", "on the appliance, inside one of pool.importDirectories").conflicts("from"))
    .option("--from <url>", "http or https; the appliance fetches it")
    .addOption(choice("--format <format>", "what the file is; never guessed", [...IMAGE_FORMATS]).makeOptionMandatory())
    .addOption(choice("--compression <kind>", "what it is packed with", [...COMPRESSIONS]).default("none"))
    .option("--sha256 <hex>", "of the file as it is, packed or not")
    .option("--phones-home", "its OS reports that it is up, so provision waits for that")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples(
        "ingot image import debian --file /var/lib/ingot-import/debian.qcow2 --format qcow2",
        "ingot image import debian --from https://example.org/debian.qcow2 --format qcow2 --sha256 HEX",
        "ingot image import tiny --file tiny.raw.zst --format raw --compression zst --phones-home --no-wait",
      ),
    )
    .action(async (name: string, options: ImportOptions, command: Command) => {
      const session = open(command);
      const { file, from, format, compression, sha256, phonesHome = false } = options;
      const place = from === undefined ? { path: file === undefined ? undefined : resolve(file) } : { url: from };
      const request = { name, ...place, format, compression, sha256, phonesHome };
      await session.finish(await session.api.post<Operation>(session.projectPath("images"), request));
    });

  addUploadCommands(image, open);

  image
    .command("list")
    .description("the project's images, and those that others share with it")
    .addHelpText("after", examples("ingot image list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const images = await session.api.get<Image[]>(session.projectPath("images"));
      session.answerTable(images, columnsFor(session.project), NO_IMAGES);
    });

  image
    .command("tree")
    .description("what came from what: images, their disks, snapshots of those")
    .addHelpText("after", examples("ingot image tree"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const relatives = await session.api.get<Relative[]>(session.projectPath("lineage"));
      const branch = branches(relatives);
      const rows = relatives.map((one, index) => ({ ...one, branch: branch[index] ?? "" }));
      session.answer(relatives, () =>
        rows.length === 0 ? `${NO_IMAGES}\n` : formatTable(TREE_COLUMNS, rows, session.terminal.columns),
      );
    });

  image
    .command("show <name>")
    .description("one image")
    .addHelpText("after", examples("ingot image show debian"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Image>(session.projectPath("images", name));
      session.answer(found, () => formatImage(found));
    });

  image
    .command("flatten <name>")
    .description("copy what it shares with what it came from, so that it stands alone; disks go on with it")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot image flatten debian-with-docker"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.finish(await session.api.post<Operation>(session.projectPath("images", name, "flatten"), {}));
    });

  image
    .command("download <name> <file>")
    .description("fetch an image's content; begun again, it goes on where it broke off")
    .addOption(choice("--format <format>", "what the file shall be", ["raw", "qcow2"]).default("raw"))
    .addOption(choice("--compression <how>", "pack raw on its way; can't be resumed", ["none", "zst"]).default("none"))
    .addHelpText(
      "after",
      examples(
        "ingot image download debian debian.raw",
        "ingot image download debian debian.qcow2 --format qcow2",
        "ingot image download debian debian.raw.zst --compression zst",
      ),
    )
    .action(async (name: string, file: string, { format, compression }: DownloadOptions, command: Command) => {
      const session = open(command);
      const path = `${session.projectPath("images", name, "content")}?format=${format}&compression=${compression}`;
      const ranges = compression === "none";
      const fetched = await session.download({ path, file: resolve(file), ranges });
      session.answer(fetched, () => formatFacts({ ...fetched, bytes: formatBytes(fetched.bytes) }));
    });

  image
    .command("rm <name>")
    .description("delete an image for good")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot image rm debian"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Delete image ${name} for good?`);
      await session.finish(await session.api.delete<Operation>(session.projectPath("images", name)));
    });
}

type DownloadOptions = { format: string; compression: string };

type ImportOptions = {
  file?: string;
  from?: string;
  format: string;
  compression: string;
  sha256?: string;
  phonesHome?: boolean;
};

const NO_IMAGES = "no images yet; ingot image import makes one";

const TREE_COLUMNS: Column<Relative & { branch: string }>[] = [
  { title: "NAME", show: ({ branch, name, id }) => `${branch}${name ?? `${id}, gone`}`, cut: "end" },
  { title: "KIND", show: ({ kind }) => kind },
  { title: "NODE", show: ({ node }) => node ?? "" },
  { title: "SIZE", show: ({ sizeBytes }) => (sizeBytes === undefined ? "" : formatBytes(sizeBytes)), align: "right" },
  { title: "MADE", show: ({ createdAt }) => (createdAt === undefined ? "" : formatAgo(createdAt)) },
];

const columnsFor = (project: string): Column<Image>[] => [
  { title: "IMAGE", show: (one) => (one.project === project ? one.name : `${one.project}/${one.name}`), cut: "end" },
  { title: "SIZE", show: ({ sizeBytes, ready }) => (ready ? formatBytes(sizeBytes) : "incomplete"), align: "right" },
  { title: "ORIGIN", show: ({ origin }) => formatOrigin(origin), cut: "middle" },
  { title: "PHONES HOME", show: ({ phonesHome }) => (phonesHome ? "yes" : "no") },
  {
    title: "FOR",
    show: (one) =>
      one.retired ? "retired" : one.project === project ? formatSharing(one.public, one.sharedWith) : "shared",
  },
  { title: "MADE", show: ({ createdAt }) => formatAgo(createdAt) },
];

function formatOrigin(origin: Image["origin"]): string {
  if (origin.kind === "import") return origin.source;
  if (origin.kind === "increment") return origin.source;
  if (origin.kind === "rbd") return `rbd ${origin.source}`;
  if (origin.kind === "copy") return `copy of ${origin.imageName ?? origin.image}`;
  return `snapshot of ${origin.diskName ?? origin.disk}${origin.clean ? "" : ", in use"}`;
}

function formatSharing(isPublic: boolean, sharedWith: string[]): string {
  return isPublic ? "all" : sharedWith.length > 0 ? `own + ${sharedWith.length}` : "own";
}

function formatFormat({ format, compression = "none" }: { format: string; compression?: string | undefined }): string {
  return compression === "none" ? format : `${format}, packed as ${compression}`;
}

function formatImage(image: Image): string {
  const { origin, sizeBytes, ready, sharedWith, public: isPublic } = image;
  const labels = Object.entries(image.labels).map(([key, value]) => `${key}=${value}`);
  return formatFacts({
    image: image.name,
    id: image.id,
    project: image.project,
    description: image.description,
    labels: labels.length > 0 ? labels.join(", ") : undefined,
    size: ready ? formatBytes(sizeBytes) : "incomplete",
    origin: formatOrigin(origin),
    format: origin.kind === "import" ? formatFormat(origin) : undefined,
    sha256: image.sha256,
    "phones home": image.phonesHome ? "yes" : "no",
    "shared with": isPublic ? "all projects" : sharedWith.join(", ") || undefined,
    retired: image.retired ? "yes: nothing new is made of it" : undefined,
    made: `${formatMoment(image.createdAt)} by ${image.requestedBy}`,
  });
}
