import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import { COMPRESSIONS, IMAGE_FORMATS } from "../../values/image-format.ts";
import type { Upload } from "../answers.ts";
import { choice, examples, type Open } from "../command.ts";
import type { Terminal } from "../terminal.ts";
import { formatBar } from "../text/bar.ts";
import { formatAgo, formatBytes, formatMoment } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";
import { uploadFile, uploadStream } from "../upload-file.ts";

type UploadOptions = { format: string; compression: string; sha256?: string; phonesHome?: boolean };

/** `ingot image upload…` */
export function addUploadCommands(image: Command, open: Open): void {
  image
    .command("upload <name> <file>")
    .description(
      "make an image from a file on this machine; goes on where an interrupted upload ended. `-` takes what is piped in, to its end",
    )
    .addOption(choice("--format <format>", "what the file is; never guessed", [...IMAGE_FORMATS]).makeOptionMandatory())
    .addOption(choice("--compression <kind>", "what it is packed with", [...COMPRESSIONS]).default("none"))
    .option("--sha256 <hex>", "of the file as it is, packed or not")
    .option("--phones-home", "its OS reports that it is up, so provision waits for that")
    .option("--no-wait", "do not wait for the end of the import")
    .addHelpText(
      "after",
      examples(
        "ingot image upload debian ./debian.qcow2 --format qcow2",
        "ingot image upload tiny tiny.raw.zst --format raw --compression zst --no-wait",
        "ssh old-host cat /dev/vg/root | ingot image upload rescued - --format raw",
      ),
    )
    .action(async (name: string, file: string, options: UploadOptions, command: Command) => {
      const session = open(command);
      const { format, compression, sha256, phonesHome = false } = options;
      const stated = {
        format,
        compression,
        phonesHome: String(phonesHome),
        ...(sha256 === undefined ? {} : { sha256 }),
      };
      const show = showProgress(session.terminal);
      const path = session.projectPath("images", name, "content");
      const begun =
        file === "-"
          ? uploadStream(session.api, { path, content: pipedIn(), stated }, show.update)
          : uploadFile(session.api, { path, file, stated }, show.update);
      await session.finish(await begun.finally(show.end));
    });

  image
    .command("uploads")
    .description("uploads that are not whole yet")
    .addHelpText("after", examples("ingot image uploads"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const uploads = await session.api.get<Upload[]>(session.projectPath("uploads"));
      session.answerTable(uploads, COLUMNS, "no uploads under way");
    });

  image
    .command("upload-cancel <name>")
    .description("give an upload up, and what has arrived of it")
    .addHelpText("after", examples("ingot image upload-cancel debian"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.api.delete(session.projectPath("uploads", name));
      session.answer({ name }, () => `upload of ${name}: given up\n`);
    });
}

/** INVALID where a person types. */
function pipedIn() {
  const { stdin } = process;
  if (!stdin.isTTY) return stdin;
  throw new ApplianceError("INVALID", "file: nothing is piped in", {
    details: { field: "file", value: "-", remedy: "pipe the image in, or name its file" },
  });
}

const COLUMNS: Column<Upload>[] = [
  { title: "UPLOAD", show: ({ name }) => name, cut: "end" },
  { title: "ARRIVED", show: ({ receivedBytes }) => formatBytes(receivedBytes), align: "right" },
  { title: "OF", show: ({ sizeBytes }) => (sizeBytes === undefined ? "?" : formatBytes(sizeBytes)), align: "right" },
  { title: "BEGAN", show: ({ createdAt }) => formatAgo(createdAt) },
  { title: "EXPIRES", show: ({ expiresAt }) => formatMoment(expiresAt) },
];

const CLEAR = "\r\x1b[K";
const REDRAW_MS = 200;
/** Told line by line, where nobody watches. */
const STEP_PERCENT = 10;
/** The same where nobody knows how much will come. */
const STEP_BYTES = 1024 ** 3;

function showProgress(terminal: Terminal): { update(done: number, total?: number): void; end(): void } {
  let [drawnAt, told] = [0, 0];
  return {
    update(done, total) {
      if (terminal.isWatched) {
        if (Date.now() - drawnAt < REDRAW_MS) return;
        drawnAt = Date.now();
        const [bar, of] = total === undefined ? ["", ""] : [`${formatBar(done / total)} `, ` of ${formatBytes(total)}`];
        terminal.err(`${CLEAR}upload ${bar}${formatBytes(done)}${of}`);
        return;
      }
      const [reached, step] =
        total === undefined ? [done, STEP_BYTES] : [Math.floor((done / total) * 100), STEP_PERCENT];
      if (reached < told + step) return;
      told = reached - (reached % step);
      terminal.err(`upload ${total === undefined ? formatBytes(told) : `${told} %`}\n`);
    },
    end: () => terminal.isWatched && terminal.err(CLEAR),
  };
}
