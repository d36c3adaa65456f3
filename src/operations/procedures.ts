import { adoptProcedure } from "./adopt.ts";
import type { Appliance } from "./appliance.ts";
import { attachProcedure } from "./attach-disk.ts";
import { copyImageProcedure } from "./copy-image.ts";
import { createDiskProcedure } from "./create-disk.ts";
import { deprovisionProcedure } from "./deprovision.ts";
import { detachProcedure } from "./detach-disk.ts";
import { exportImageProcedure } from "./export-image.ts";
import { flattenProcedure } from "./flatten.ts";
import { growPoolProcedure } from "./grow-pool.ts";
import { importProcedure } from "./import-image.ts";
import { importIncrementProcedure } from "./import-increment.ts";
import { importRbdProcedure } from "./import-rbd.ts";
import { powerProcedure } from "./power-node.ts";
import { provisionProcedure } from "./provision-procedure.ts";
import { reconcileProcedure } from "./reconcile.ts";
import { removeDiskProcedure } from "./remove-disk.ts";
import { removeImageProcedure } from "./remove-image.ts";
import { revertProcedure } from "./revert-disk.ts";
import { snapshotProcedure } from "./snapshot-disk.ts";

/** Tells the runner every procedure there is; before it resumes what a former run left. */
export function registerProcedures(appliance: Appliance): void {
  const { runner } = appliance;
  runner.register(importProcedure(appliance));
  runner.register(provisionProcedure(appliance));
  runner.register(deprovisionProcedure(appliance));
  runner.register(snapshotProcedure(appliance));
  runner.register(revertProcedure(appliance));
  runner.register(copyImageProcedure(appliance));
  runner.register(flattenProcedure(appliance));
  runner.register(createDiskProcedure(appliance));
  runner.register(exportImageProcedure(appliance));
  runner.register(importRbdProcedure(appliance));
  runner.register(importIncrementProcedure(appliance));
  runner.register(removeDiskProcedure(appliance));
  runner.register(removeImageProcedure(appliance));
  runner.register(attachProcedure(appliance));
  runner.register(detachProcedure(appliance));
  runner.register(powerProcedure(appliance));
  runner.register(growPoolProcedure(appliance));
  runner.register(adoptProcedure(appliance));
  runner.register(reconcileProcedure(appliance));
}
