import { expect, it } from "vitest";
import { whatReaches } from "../../lab/reach.ts";

it("takes the eleventh place that is reached for no other one", async () => {
  const places = Array.from({ length: 12 }, (_, index) => ({ name: `place-${index}`, address: `10.0.0.${index + 1}` }));
  const run = async () => "reached-10\n";
  const attempt = { interface: "nic", appliance: "10.0.0.254", places, atATime: 12 };
  expect(await whatReaches(run, attempt)).toEqual(["place-10"]);
});
