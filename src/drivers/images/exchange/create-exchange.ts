import { Turns } from "../../turns.ts";
import type { ImageExchange } from "../image-exchange.ts";
import { type Applying, applyIncrement, endIncrement } from "./apply-increment.ts";
import { type Exporting, exportFile, removeExport } from "./export-file.ts";
import { type RbdExchange, withoutRbd } from "./rbd-exchange.ts";

/** How images leave a pool and come from others; `rbd` where the pool is in Ceph. */
export function createImageExchange(parts: Exporting & Applying, rbd: RbdExchange = withoutRbd()): ImageExchange {
  // an undo waits for what it takes back, also where the caller of that has gone
  const turns = new Turns();
  return {
    adoptRbd: (request, signal) => turns.take(request.image, () => rbd.adoptRbd(request, signal)),
    endAdoption: (request, signal) => turns.take(request.image, () => rbd.endAdoption(request, signal)),
    publishRbd: (request, progress, signal) => turns.take(request.id, () => rbd.publishRbd(request, progress, signal)),
    unpublishRbd: (request, signal) => turns.take(request.id, () => rbd.unpublishRbd(request, signal)),
    applyIncrement: (request, progress, signal) =>
      turns.take(request.image, () => applyIncrement(parts, request, progress, signal)),
    endIncrement: ({ image }, signal) => turns.take(image, () => endIncrement(parts, image, signal)),
    exportFile: (request, progress, signal) =>
      turns.take(request.id, () => exportFile(parts, request, progress, signal)),
    removeExport: (request) => turns.take(request.id, () => removeExport(parts, request)),
  };
}
