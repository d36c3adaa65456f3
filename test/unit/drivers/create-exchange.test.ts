import { expect, it } from "vitest";
import { createImageExchange } from "../../../src/drivers/images/exchange/create-exchange.ts";
import type { RbdExchange } from "../../../src/drivers/images/exchange/rbd-exchange.ts";

const { signal } = new AbortController();
const adoption = { image: "img-1", source: "vms/web" };
const publication = { id: "exp-1", image: "img-1", target: "vms/web" };

it.each<[string, (exchange: RbdExchange) => Promise<unknown>, (exchange: RbdExchange) => Promise<unknown>]>([
  ["an adoption", (one) => one.adoptRbd(adoption, signal), (one) => one.endAdoption(adoption, signal)],
  [
    "a publication",
    (one) => one.publishRbd(publication, () => {}, signal),
    (one) => one.unpublishRbd(publication, signal),
  ],
])("takes %s back once it has ended", async (_, begin, undo) => {
  const order: string[] = [];
  const goOn = Promise.withResolvers<void>();
  const run = async () => {
    order.push("began");
    await goOn.promise;
    order.push("ended");
    return { sizeBytes: 0 };
  };
  const takeBack = async () => void order.push("taken back");
  const rbd = {
    adoptRbd: run,
    publishRbd: async () => void (await run()),
    endAdoption: takeBack,
    unpublishRbd: takeBack,
  };
  const exchange = createImageExchange({} as Parameters<typeof createImageExchange>[0], rbd);
  const both = [begin(exchange), undo(exchange)];
  await new Promise(setImmediate);
  goOn.resolve();
  await Promise.all(both);
  expect(order).toEqual(["began", "ended", "taken back"]);
});
