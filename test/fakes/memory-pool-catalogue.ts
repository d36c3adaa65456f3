import { checkOwner, notInPool } from "../../src/drivers/images/description.ts";
import type { ImageStore, StoredKind } from "../../src/drivers/images/image-store.ts";
import type { Description, Leftover, PoolCatalogue, Survey } from "../../src/drivers/images/pool-catalogue.ts";

/** Descriptions of what another store keeps, which drops them with their content. Held to test/contract/pool-catalogue.test.ts like the real ones. */
export class MemoryPoolCatalogue implements PoolCatalogue {
  readonly descriptions: Map<string, Description>;
  leftovers: Leftover[] = [];
  readonly #images: Pick<ImageStore, "list" | "stat">;

  constructor(images: Pick<ImageStore, "list" | "stat">, descriptions = new Map<string, Description>()) {
    this.#images = images;
    this.descriptions = descriptions;
  }

  async describe(description: Description, takenFrom: string | undefined, signal: AbortSignal): Promise<void> {
    const { kind, id, appliance } = description;
    if (!(await this.#images.stat(kind, id, signal))) throw notInPool(description);
    checkOwner(description, this.descriptions.get(id)?.appliance, appliance, takenFrom);
    this.descriptions.set(id, structuredClone(description));
  }

  async clear(leftover: string): Promise<void> {
    this.leftovers = this.leftovers.filter(({ name }) => name !== leftover);
  }

  async owner(_: StoredKind, id: string): Promise<string | undefined> {
    return this.descriptions.get(id)?.appliance;
  }

  async survey(signal: AbortSignal): Promise<Survey> {
    const there = await this.#images.list(signal);
    const things = there.map(async ({ kind, id }) => {
      const { sizeBytes } = (await this.#images.stat(kind, id, signal)) ?? { sizeBytes: 0 };
      const description = this.descriptions.get(id);
      return { kind, id, sizeBytes, ...(description ? { description } : {}) };
    });
    return { things: await Promise.all(things), leftovers: this.leftovers };
  }
}
