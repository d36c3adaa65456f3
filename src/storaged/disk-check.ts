import type { ImageStore } from "../drivers/images/image-store.ts";
import type { TargetServer } from "../drivers/targets/target-server.ts";
import { ApplianceError, isApplianceError } from "../errors.ts";
import type { DiskCheck } from "./verbs.ts";

/**
 * Asks every target daemon of the appliance whether it serves the disk. One that does not run serves nothing;
 * of one that does not answer nobody knows: fails as `TargetServer`.
 * Changing the file under a target would go unnoticed by its node: tgtd keeps the old file open.
 */
export function createDiskCheck(images: ImageStore, targets: TargetServer, controls: number[]): DiskCheck {
  return async (disk, signal) => {
    const { path } = await images.backing(disk);
    for (const control of controls) {
      const served = await targets.list(control, signal).catch((error) => {
        if (isApplianceError(error, "UNAVAILABLE") && error.details.absent) return [];
        throw error;
      });
      const target = served.find(({ units }) => units.some((unit) => unit.path === path));
      if (!target) continue;
      throw new ApplianceError("IN_USE", `disk: ${disk} is served as ${target.iqn}`, {
        details: { field: "disk", value: disk, iqn: target.iqn, remedy: "remove its target first" },
      });
    }
  };
}
