import { join } from "node:path";
import type { ExportFormat, FileExport } from "../drivers/images/image-exchange.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import { wholeImage } from "./cloneable-image.ts";
import type { OperationRecord, Procedure, Step } from "./operation.ts";

export type ExportImageRequest = {
  project: string;
  /** Its own, or one that is shared with it. */
  image: string;
} & (
  | {
      /** A directory on the appliance, inside one of pool.exportDirectories. */
      to: string;
      format: Exclude<ExportFormat, "rbd-diff">;
      compression: "none" | "zst";
      /** Name of an earlier image of which it has most: only what changed since is written, whatever the format. */
      since?: string;
    }
  | {
      /** The RBD image to be made, `POOL/IMAGE`. */
      rbd: string;
    }
);

type ExportPlan = { kind: "file"; file: FileExport } | { kind: "rbd"; id: string; image: string; target: string };

/** Copies of whole disks take their time. */
const DEADLINE_SECONDS = 24 * 3600;

/**
 * Writes an image into a file on the appliance, with a manifest beside it, or into an RBD image of its own. NOT_FOUND;
 * CONFLICT while its content is not there; what is wrong with the place shows in the operation.
 */
export async function exportImage(
  appliance: Appliance,
  request: ExportImageRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const image = wholeImage(appliance, request.project, request.image);
  const { name, project } = image;
  const id = newId("exp");
  let plan: ExportPlan;
  if ("rbd" in request) {
    plan = { kind: "rbd", id, image: image.id, target: request.rbd };
  } else {
    const { to, compression } = request;
    const base = request.since === undefined ? undefined : wholeImage(appliance, request.project, request.since);
    const since = base && { image: base.id, name: base.name };
    const format = since ? "rbd-diff" : request.format;
    const file = `${name}${since ? `.since-${since.name}` : ""}.${format}${compression === "zst" ? ".zst" : ""}`;
    const about = { name, project };
    plan = {
      kind: "file",
      file: { id, image: image.id, path: join(to, file), format, compression, about, ...(since ? { since } : {}) },
    };
  }
  return appliance.runner.begin<ExportPlan>("export-image", {
    summary: `export image ${name} to ${plan.kind === "file" ? plan.file.path : `RBD image ${plan.target}`}`,
    project: request.project,
    requestedBy,
    plan,
    holds: [],
    uses: [image.id, ...(plan.kind === "file" && plan.file.since ? [plan.file.since.image] : [])],
  });
}

/** The one step of an export, which takes back what it wrote. */
export function exportImageProcedure({ exchange }: Appliance): Procedure<ExportPlan> {
  const step: Step<ExportPlan> = {
    name: "export-content",
    deadlineSeconds: DEADLINE_SECONDS,
    async run({ plan, progress, signal }) {
      if (plan.kind === "rbd") {
        await exchange.publishRbd(plan, (done, total) => progress(done, total, "bytes"), signal);
        return { output: { target: plan.target } };
      }
      const manifest = await exchange.exportFile(plan.file, (done, total) => progress(done, total, "bytes"), signal);
      const { fileBytes, fileSha256, sizeBytes, sha256 } = manifest;
      return { output: { path: plan.file.path, fileBytes, fileSha256, sizeBytes, sha256 } };
    },
    undo: ({ plan, signal }) =>
      plan.kind === "rbd" ? exchange.unpublishRbd(plan, signal) : exchange.removeExport(plan.file, signal),
  };
  return { kind: "export-image", steps: () => [step] };
}
