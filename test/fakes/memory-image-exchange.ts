import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import type {
  ExportManifest,
  FileExport,
  ImageExchange,
  Increment,
  Progress,
  RbdAdoption,
  RbdPublication,
} from "../../src/drivers/images/image-exchange.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { ApplianceError } from "../../src/errors.ts";
import type { MemoryImageStore } from "./memory-image-store.ts";

/** Files and volumes of others as maps by name. Held to test/contract/image-exchange.test.ts like the real one. */
export class MemoryImageExchange implements ImageExchange {
  readonly manifests = new Map<string, ExportManifest>();
  readonly volumes = new Map([["vms/web", { id: "", content: "a volume" }]]);
  /** Snapshots that adoptions took and did not give back. */
  readonly unfinished = new Set<string>();
  readonly #images: ImageStore;

  constructor(images: ImageStore) {
    this.#images = images;
  }

  async exportFile(request: FileExport, progress: Progress, signal: AbortSignal): Promise<ExportManifest> {
    const { id, image, path, format, compression, about } = request;
    const found = this.manifests.get(path);
    if (found && found.export !== id) throw taken(path);
    const content = await buffer(await this.#images.read({ image }, signal));
    progress(content.length, content.length);
    const sha256 = createHash("sha256").update(content).digest("hex");
    const manifest: ExportManifest = {
      ...{ schema: 1, export: id, image, ...about, file: path.split("/").at(-1) ?? "", format, compression },
      ...{ fileBytes: content.length, fileSha256: sha256, sizeBytes: content.length, sha256 },
    };
    this.manifests.set(path, manifest);
    return manifest;
  }

  async removeExport({ id, path }: Pick<FileExport, "id" | "path">): Promise<void> {
    if (this.manifests.get(path)?.export === id) this.manifests.delete(path);
  }

  async applyIncrement({ image, base, path }: Increment): Promise<{ sizeBytes: number; sha256: string }> {
    const { contents } = this.#images as MemoryImageStore;
    contents.set(`image/${image}`, `${contents.get(`image/${base}`)} with ${path}`);
    return { sizeBytes: 1024 * 1024, sha256: "0".repeat(64) };
  }

  async endIncrement(): Promise<void> {}

  async adoptRbd({ image, source }: RbdAdoption, _: AbortSignal): Promise<{ sizeBytes: number }> {
    const volume = this.volumes.get(source);
    if (!volume) throw new ApplianceError("NOT_FOUND", `source: Ceph has no ${source}`);
    this.unfinished.add(image);
    (this.#images as MemoryImageStore).contents.set(`image/${image}`, volume.content);
    this.unfinished.delete(image);
    return { sizeBytes: 1024 * 1024 };
  }

  async endAdoption({ image }: RbdAdoption): Promise<void> {
    this.unfinished.delete(image);
  }

  async publishRbd({ id, image, target }: RbdPublication, progress: Progress): Promise<void> {
    const found = this.volumes.get(target);
    if (found && found.id !== id) throw taken(target);
    progress(100, 100);
    this.volumes.set(target, { id, content: (this.#images as MemoryImageStore).contents.get(`image/${image}`) ?? "" });
  }

  async unpublishRbd({ id, target }: Omit<RbdPublication, "image">): Promise<void> {
    if (this.volumes.get(target)?.id === id) this.volumes.delete(target);
  }
}

function taken(name: string): ApplianceError {
  return new ApplianceError("EXISTS", `${name} is there already`);
}
