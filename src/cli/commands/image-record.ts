import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import type { Image, Operation } from "../answers.ts";
import { examples, type Open } from "../command.ts";

/** The commands of `ingot image …` that change what is known of an image, and whose it is. */
export function addImageRecordCommands(program: Command, open: Open): void {
  const image = program.commands.find((one) => one.name() === "image") as Command;

  image
    .command("rename <name> <new>")
    .description("call an image something else")
    .addHelpText("after", examples("ingot image rename debian debian-12"))
    .action((name: string, to: string, _: object, command: Command) =>
      edit(open, command, name, { name: to }, `image ${name} is called ${to} now`),
    );

  image
    .command("describe <name> <text>")
    .description("say in one line what an image is; an empty text says nothing")
    .addHelpText("after", examples('ingot image describe debian "Debian 12 with our monitoring"'))
    .action((name: string, description: string, _: object, command: Command) =>
      edit(open, command, name, { description }, `image ${name} is described`),
    );

  image
    .command("label <name> <labels...>")
    .description("set labels, KEY=VALUE, or take them away, KEY-")
    .addHelpText("after", examples("ingot image label debian os=debian release=12", "ingot image label debian beta-"))
    .action((name: string, words: string[], _: object, command: Command) =>
      edit(open, command, name, { labels: Object.fromEntries(words.map(parseLabel)) }, `image ${name} is labelled`),
    );

  image
    .command("retire <name>")
    .description("let nothing new be made of an image; its disks go on")
    .option("--undo", "let it be used again")
    .addHelpText("after", examples("ingot image retire debian-11", "ingot image retire debian-11 --undo"))
    .action((name: string, { undo = false }: { undo?: boolean }, command: Command) =>
      edit(open, command, name, { retired: !undo }, `image ${name} is ${undo ? "in use again" : "retired"}`),
    );

  image
    .command("copy <name> <new>")
    .description("make another image with the same content, at once")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot image copy debian debian-mine", "ingot image copy golden/debian debian"))
    .action(async (name: string, to: string, _: object, command: Command) => {
      const session = open(command);
      await session.finish(
        await session.api.post<Operation>(session.projectPath("images", name, "copy"), { name: to }),
      );
    });

  for (const [verb, does, done] of [
    ["share", "let other projects clone an image", "shared with"],
    ["unshare", "take that back; disks that were cloned go on", "no longer shared with"],
  ] as const) {
    image
      .command(`${verb} <name>`)
      .description(does)
      .option("--with <project...>", "these projects")
      .option("--public", "all projects that there are and will be")
      .addHelpText(
        "after",
        examples(`ingot image ${verb} debian --with lab web`, `ingot image ${verb} debian --public`),
      )
      .action(async (name: string, options: { with?: string[]; public?: boolean }, command: Command) => {
        const session = open(command);
        const { with: projects = [], public: isPublic = false } = options;
        if (projects.length === 0 && !isPublic) {
          throw new ApplianceError("INVALID", `image ${verb} needs to know whom with`, {
            details: { field: "--with", remedy: "name projects with --with, or give --public" },
          });
        }
        const path = session.projectPath("images", name, verb);
        const changed = await session.api.post<Image>(path, { projects, public: isPublic });
        const whom = [...projects, ...(isPublic ? ["the public"] : [])].join(", ");
        session.answer(changed, () => `image ${name} is ${done} ${whom}\n`);
      });
  }

  image
    .command("transfer <name>")
    .description("give an image to another project; disks that were cloned go on")
    .requiredOption("--to <project>", "its new owner")
    .addHelpText("after", examples("ingot image transfer debian --to lab"))
    .action(async (name: string, { to }: { to: string }, command: Command) => {
      const session = open(command);
      const changed = await session.api.post<Image>(session.projectPath("images", name, "transfer"), { to });
      session.answer(changed, () => `image ${name} belongs to ${to} now\n`);
    });
}

async function edit(open: Open, command: Command, name: string, changes: object, done: string): Promise<void> {
  const session = open(command);
  const changed = await session.api.patch<Image>(session.projectPath("images", name), changes);
  session.answer(changed, () => `${done}\n`);
}

/** `KEY=VALUE` or `KEY-`. */
function parseLabel(word: string): [key: string, value: string | null] {
  const at = word.indexOf("=");
  if (at > 0) return [word.slice(0, at), word.slice(at + 1)];
  if (at < 0 && word.length > 1 && word.endsWith("-")) return [word.slice(0, -1), null];
  throw new ApplianceError("INVALID", `"${word}" is no label`, {
    details: { field: "label", value: word, remedy: "write KEY=VALUE to set one, KEY- to take it away" },
  });
}
