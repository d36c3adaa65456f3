import { type Command, Option } from "commander";
import { ApplianceError } from "../../errors.ts";
import { parseBytes } from "../../values/bytes.ts";
import type { Operation } from "../answers.ts";
import { addTakingOptions, examples, type Open } from "../command.ts";
import { type Joining, parseJoining } from "../joining.ts";
import { path } from "../session.ts";

type ProvisionOptions = {
  image?: string;
  disk?: string;
  data?: string[];
  diskName?: string;
  size?: string;
  once?: boolean;
  attach: Joining[];
  forceOff?: boolean;
  seenOff?: boolean;
};
type DeprovisionOptions = { deleteDisk?: boolean; now?: boolean; seenOff?: boolean };

/** `ingot provision` and `ingot deprovision`. */
export function addProvisionCommands(program: Command, open: Open): void {
  const provision = program
    .command("provision <node>")
    .description("make a node boot a new clone of an image, or a disk that there is")
    .option("--image <image>", "image to clone")
    .addOption(new Option("--disk <disk>", "existing disk to boot").conflicts(["image", "diskName", "size"]))
    .option("--disk-name <name>", "name of the new clone")
    .option("--data <disk...>", "disks that it gets beside that one, from LUN 2 on")
    .option("--size <size>", "of the new clone, as 20G; by default as long as its image")
    .option(
      "--attach <nic=network...>",
      "networks that NICs are in from its first boot on; NETWORK:tagged",
      parseJoining,
      [],
    )
    .option("--once", "boot it a single time, then the local disk again");
  addTakingOptions(provision, "has the disk")
    .addHelpText(
      "after",
      examples(
        "ingot provision node-1 --image debian",
        "ingot provision node-1 --image debian --size 20G",
        "ingot provision node-2 --disk node-1-1 --force-off",
        "ingot provision node-3 --image rescue --once --no-wait",
        "ingot provision node-4 --image debian --data results scratch",
        "ingot provision node-5 --image debian --attach eth1=storage eth1=backup:tagged",
      ),
    )
    .action(async (node: string, options: ProvisionOptions, command: Command) => {
      const session = open(command);
      const { image, disk, data, diskName, size, once, attach, forceOff, seenOff } = options;
      if (image === undefined && disk === undefined) {
        throw new ApplianceError("INVALID", "provision needs something to boot", {
          details: { field: "--image", remedy: "give --image IMAGE to clone one, or --disk DISK to boot that one" },
        });
      }
      if (forceOff) await session.confirm(`Cut the power of the node that has disk ${disk}, if one has it?`);
      const sizeBytes = size === undefined ? undefined : parseBytes(size, "--size");
      const joinings = attach.length > 0 ? { attach } : {};
      const request = { image, disk, data, diskName, sizeBytes, once, ...joinings, forceOff, seenOff };
      await session.finish(await session.api.post<Operation>(path("nodes", node, "provision"), request));
    });

  program
    .command("deprovision <node>")
    .description("release a node: off, and nothing of it left but its disks")
    .addOption(
      new Option("--delete-disk", "delete the disk that it boots (undelete brings it back); data disks stay").conflicts(
        "keepDisk",
      ),
    )
    .option("--keep-disk", "keep its disk (the default)")
    .option("--now", "cut the power instead of asking its OS first")
    .option("--seen-off", "you saw it off: do not ask its BMC, which may be dead")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot deprovision node-1", "ingot deprovision node-1 --delete-disk --now"))
    .action(
      async (node: string, { deleteDisk, now = false, seenOff = false }: DeprovisionOptions, command: Command) => {
        const session = open(command);
        if (deleteDisk) await session.confirm(`Release ${node} and delete its disk?`);
        const request = { disk: deleteDisk ? "delete" : "keep", now, seenOff };
        await session.finish(await session.api.post<Operation>(path("nodes", node, "deprovision"), request));
      },
    );
}
