import { afterAll, beforeAll, expect, it } from "vitest";
import { asNobody } from "../lab/as-nobody.ts";
import { Namespaces } from "./namespaces.ts";

/** mo-nei-a (10.63.0.1) ---- mo-nei-b (10.63.0.2) */
const [HERE, THERE] = ["mo-nei-a", "mo-nei-b"];
const MAC = "52:54:00:63:00:02";
let namespaces: Namespaces;

beforeAll(() => {
  namespaces = new Namespaces(HERE, THERE);
  namespaces.cable(
    { namespace: HERE, interface: "eth0", addresses: ["10.63.0.1/24"] },
    { namespace: THERE, interface: "eth0", addresses: ["10.63.0.2/24"], mac: MAC },
  );
});
afterAll(() => namespaces.remove());

function find(name: string, ...addresses: string[]): (string | null)[] {
  const program = `${import.meta.dirname}/programs/find-neighbours.ts`;
  return JSON.parse(namespaces.run(HERE, asNobody([process.execPath, program, name, ...addresses])));
}

it("tells whose an address is, to an unprivileged process, and nothing of those that never answered", () => {
  expect(find("eth0", "10.63.0.2")).toEqual([null]);
  // a datagram to a port where nobody listens: ARP, and an ICMP error back
  namespaces.run(HERE, ["bash", "-c", "echo x >/dev/udp/10.63.0.2/9; echo x >/dev/udp/10.63.0.3/9"]);
  namespaces.run(HERE, ["sh", "-c", "until ip neigh | grep -q '10.63.0.2.*lladdr'; do :; done"]);
  expect(find("eth0", "10.63.0.2", "10.63.0.3", "10.63.9.9")).toEqual([MAC, null, null]);
  expect(find("lo", "10.63.0.2")).toEqual([null]);
  expect(find("eth9", "10.63.0.2")).toEqual([null]);
});
