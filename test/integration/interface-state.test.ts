import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findInterface } from "../../src/net/interface-state.ts";
import { ip, Namespaces } from "./namespaces.ts";

const NAMESPACE = "ingot-st-link";
let namespaces: Namespaces;

beforeAll(() => {
  namespaces = new Namespaces(NAMESPACE);
  ip("-n", NAMESPACE, "link", "add", "left", "mtu", "1400", "type", "veth", "peer", "name", "right");
  ip("-n", NAMESPACE, "address", "add", "10.99.0.1/24", "dev", "left");
  ip("-n", NAMESPACE, "address", "add", "10.99.1.1/16", "dev", "left");
});
afterAll(() => namespaces.remove());

/** What a process of that namespace sees. */
function seen(name: string): unknown {
  const module = new URL("../../src/net/interface-state.ts", import.meta.url).pathname;
  const program = `import { findInterface } from ${JSON.stringify(module)}; console.log(JSON.stringify(findInterface("${name}") ?? null));`;
  return JSON.parse(namespaces.run(NAMESPACE, [process.execPath, "--input-type=module", "-e", program]));
}

describe("an interface", () => {
  it("is seen as the kernel has it, whatever /sys shows", () => {
    const addresses = [
      { address: "10.99.0.1", prefix: 24 },
      { address: "10.99.1.1", prefix: 16 },
    ];
    expect(seen("left")).toEqual({ isUp: false, hasCarrier: false, mtu: 1400, addresses });
    ip("-n", NAMESPACE, "link", "set", "left", "up");
    expect(seen("left")).toMatchObject({ isUp: true, hasCarrier: false });
    ip("-n", NAMESPACE, "link", "set", "right", "up");
    expect(seen("left")).toEqual({ isUp: true, hasCarrier: true, mtu: 1400, addresses });
  });

  it("is nothing when there is none", () => {
    expect(findInterface("nosuch0")).toBeUndefined();
  });
});
