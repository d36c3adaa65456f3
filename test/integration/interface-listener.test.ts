import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { asNobody } from "../lab/as-nobody.ts";
import { Lines, Namespaces } from "./namespaces.ts";

/**
 *   hde-lis-s (unprivileged listener)
 *     left 10.61.1.1/24  ---------  nic 10.61.1.2/24, default route to 10.61.1.1   hde-lis-l
 *     right 10.61.2.1/24
 */
const SERVER = "hde-lis-s";
const LEFT = "hde-lis-l";
const LISTENER = asNobody([process.execPath, `${import.meta.dirname}/programs/listen-on.ts`]);

describe("a listener of one interface", () => {
  let namespaces: Namespaces;

  beforeAll(() => {
    namespaces = new Namespaces(SERVER, LEFT);
    namespaces.cable(
      { namespace: SERVER, interface: "left", addresses: ["10.61.1.1/24"] },
      { namespace: LEFT, interface: "nic", addresses: ["10.61.1.2/24"] },
    );
    namespaces.run(SERVER, ["ip", "link", "add", "right", "type", "bridge"]);
    namespaces.run(SERVER, ["ip", "address", "add", "10.61.2.1/24", "dev", "right"]);
    namespaces.run(SERVER, ["ip", "link", "set", "right", "up"]);
    namespaces.run(LEFT, ["ip", "route", "add", "default", "via", "10.61.1.1"]);
  });

  afterEach(() => namespaces.stopAll());
  afterAll(() => namespaces.remove());

  async function start(...wishes: string[]): Promise<Lines> {
    const lines = new Lines(namespaces.start(SERVER, [...LISTENER, ...wishes]));
    await lines.next(/^(ready|error .*)$/);
    return lines;
  }
  const connect = (address: string) =>
    namespaces.run(LEFT, ["sh", "-c", `socat -u TCP:${address}:80,connect-timeout=3 - 2>&1 || true`]);

  it("takes connections from its own network alone, even for its own address", async () => {
    const listener = await start("left=10.61.1.1:80", "right=10.61.2.1:80");
    expect(connect("10.61.2.1")).toContain("Connection refused");
    expect(connect("10.61.1.1")).toBe("heard on left\n");
    await listener.next(/^left 10\.61\.1\.2$/);
    expect(listener.all).toEqual(["ready", "left 10.61.1.2"]);
  });

  it("says which of its wishes can't be had", async () => {
    expect((await start("left=10.61.1.1:80")).all).toEqual(["ready"]);
    expect((await start("left=10.61.1.1:80")).all).toEqual(["error IN_USE"]);
    expect((await start("nowhere=10.61.1.1:80")).all).toEqual(["error UNAVAILABLE"]);
    expect((await start("left=10.9.9.9:80")).all).toEqual(["error UNAVAILABLE"]);
  });
});
