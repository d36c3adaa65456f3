import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { ApplianceError } from "../../errors.ts";
import type { Operation } from "../answers.ts";
import { choice, examples, type Open } from "../command.ts";

type ExportOptions = { to?: string; since?: string; rbd?: string; format: string; compression: string };

/** The commands of `ingot image …` that bring images to places of others, and from there. */
export function addImageExchangeCommands(program: Command, open: Open): void {
  const image = program.commands.find((one) => one.name() === "image") as Command;

  image
    .command("export <name>")
    .description("write an image into a file on the appliance, with a manifest, or into an RBD image")
    .option("--to <directory>", "inside one of pool.exportDirectories")
    .addOption(choice("--format <format>", "what the file shall be", ["raw", "qcow2"]).default("raw"))
    .addOption(choice("--compression <how>", "what it is packed with", ["none", "zst"]).default("none"))
    .option("--since <image>", "write only what changed since that image")
    .addOption(
      new Option("--rbd <pool/image>", "a new RBD image instead, which shares nothing").conflicts(["to", "since"]),
    )
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples(
        "ingot image export debian --to /var/lib/ingot-export --format qcow2",
        "ingot image export debian --to /var/lib/ingot-export --compression zst",
        "ingot image export monday --to /var/lib/ingot-export --since sunday",
        "ingot image export debian --rbd vms/debian",
      ),
    )
    .action(async (name: string, { to, since, rbd, format, compression }: ExportOptions, command: Command) => {
      const session = open(command);
      if (to === undefined && rbd === undefined) {
        throw new ApplianceError("INVALID", "image export needs a place", {
          details: { field: "--to", remedy: "give --to DIRECTORY, or --rbd POOL/IMAGE" },
        });
      }
      const request = rbd === undefined ? { to: resolve(to as string), format, compression, since } : { rbd };
      await session.finish(await session.api.post<Operation>(session.projectPath("images", name, "export"), request));
    });

  image
    .command("import-increment <name> <file>")
    .description("make an image from another one and what changed since, as image export --since wrote it")
    .requiredOption("--onto <image>", "the image that it was made from, by its name here")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples(
        "ingot image import-increment monday \\\n" +
          "    /var/lib/ingot-import/monday.since-sunday.rbd-diff --onto sunday",
      ),
    )
    .action(async (name: string, file: string, { onto }: { onto: string }, command: Command) => {
      const session = open(command);
      const request = { name, path: resolve(file), onto };
      await session.finish(await session.api.post<Operation>(session.projectPath("increments"), request));
    });

  image
    .command("import-rbd <name> <source>")
    .description("make an image from a volume in Ceph, POOL/IMAGE[@SNAPSHOT], at once: a clone")
    .option("--phones-home", "its OS reports that it is up, so provision waits for that")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples("ingot image import-rbd web vms/web-1", "ingot image import-rbd web vms/web-1@golden"),
    )
    .action(
      async (name: string, source: string, { phonesHome = false }: { phonesHome?: boolean }, command: Command) => {
        const session = open(command);
        const request = { name, source, phonesHome };
        await session.finish(await session.api.post<Operation>(session.projectPath("rbd-imports"), request));
      },
    );
}
