import { expect, it } from "vitest";
import { DiscoveredMachines } from "../../../src/boot/discovered.ts";
import { formatMac, type Mac } from "../../../src/values/mac.ts";

const macOf = (index: number): Mac => formatMac(Uint8Array.of(2, 0, 0, 0, index >> 8, index));

it("remembers the thousand strangers heard of last, the latest first, one heard again among them", () => {
  const discovered = new DiscoveredMachines(() => false);
  const hear = (index: number, at: number) => {
    const mac = macOf(index);
    discovered.sink({ mac, at, stage: "dhcp-os", network: "rack", client: { mac, stage: "os" } });
  };
  for (let index = 0; index < 2500; index++) {
    hear(index, index);
    hear(7, index);
  }
  const machines = discovered.list();
  expect(machines.map(({ mac }) => mac)).toEqual(
    [7, ...Array.from({ length: 999 }, (_, back) => 2499 - back)].map(macOf),
  );
  expect(machines[0]).toMatchObject({ firstSeenAt: 0, lastSeenAt: 2499 });
});
