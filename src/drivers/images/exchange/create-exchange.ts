import type { ImageExchange } from "../image-exchange.ts";
import { type Applying, applyIncrement, endIncrement } from "./apply-increment.ts";
import { type Exporting, exportFile, removeExport } from "./export-file.ts";
import { type RbdExchange, withoutRbd } from "./rbd-exchange.ts";

/** How images leave a pool and come from others; `rbd` where the pool is in Ceph. */
export function createImageExchange(parts: Exporting & Applying, rbd: RbdExchange = withoutRbd()): ImageExchange {
  return {
    ...rbd,
    applyIncrement: (request, progress, signal) => applyIncrement(parts, request, progress, signal),
    endIncrement: ({ image }, signal) => endIncrement(parts, image, signal),
    exportFile: (request, progress, signal) => exportFile(parts, request, progress, signal),
    removeExport: (request) => removeExport(parts, request),
  };
}
