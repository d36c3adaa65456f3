import { describe, expect, it } from "vitest";
import { ip, macOf, owner } from "../leases/world.ts";
import { dhcpWorld, request } from "./world.ts";

const OURS = ip("10.0.0.1");
const OTHER = ip("10.0.0.66");
const A = ip("10.0.0.10");
const B = ip("10.0.0.11");
const RELAYED = ip("10.0.5.10");
const RELAY = ip("10.0.5.254");

/** How the client stands with us before it asks. */
type Standing = "unknown" | "offered A" | "leased A" | "pinned A" | "reserved A" | "A is another's" | "declined A";

async function worldWith(standing: Standing) {
  const world = dhcpWorld();
  if (standing === "offered A") world.leases.offer(owner(1), world.own);
  if (standing === "leased A" || standing === "declined A") await world.lease(1);
  if (standing === "declined A") await world.leases.decline(owner(1), A);
  if (standing === "pinned A") await world.pin(1);
  if (standing === "reserved A") world.reserved.set(macOf(1), A);
  if (standing === "A is another's") await world.lease(2);
  return world;
}

type Row = [standing: Standing, answer: string, message: ReturnType<typeof request>];

const discover = request("discover");
const selecting = (requested = A, serverId = OURS) => request("request", { requested, serverId });
const initReboot = (requested = A) => request("request", { requested });
const extending = (ciaddr = A) => request("request", { ciaddr });

describe("DISCOVER", () => {
  it.each<Row>([
    ["unknown", "offer 10.0.0.10", discover],
    ["unknown", "offer 10.0.0.11", request("discover", { requested: B })],
    ["unknown", "offer 10.0.0.10", request("discover", { requested: RELAYED })],
    ["unknown", "offer 10.0.5.10", request("discover", { giaddr: RELAY })],
    ["unknown", "no request to this network", request("discover", { giaddr: ip("10.7.7.7") })],
    ["offered A", "offer 10.0.0.10", request("discover", { requested: B })],
    ["leased A", "offer 10.0.0.10", request("discover", { requested: B })],
    ["leased A", "offer 10.0.5.10", request("discover", { giaddr: RELAY })],
    ["pinned A", "offer 10.0.0.10", request("discover", { requested: B })],
    ["pinned A", "no address", request("discover", { giaddr: RELAY })],
    ["reserved A", "offer 10.0.0.10", request("discover", { requested: B })],
    ["A is another's", "offer 10.0.0.11", request("discover", { requested: A })],
    ["declined A", "offer 10.0.0.11", request("discover", { requested: A })],
  ])("%s: %s", async (standing, answer, message) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("REQUEST in state SELECTING", () => {
  it.each<Row>([
    ["offered A", "ack 10.0.0.10", selecting()],
    ["offered A", "nak", selecting(B)],
    ["offered A", "meant for another server", selecting(A, OTHER)],
    ["unknown", "ack 10.0.0.10", selecting()], // we restarted since the OFFER
    ["unknown", "nak", selecting(ip("10.0.0.99"))],
    ["unknown", "nak", selecting(RELAYED)],
    ["leased A", "ack 10.0.0.10", selecting()],
    ["leased A", "nak", selecting(B)],
    ["pinned A", "ack 10.0.0.10", selecting()],
    ["pinned A", "nak", selecting(B)],
    ["reserved A", "nak", selecting(B)],
    ["A is another's", "nak", selecting()],
    ["declined A", "nak", selecting()],
  ])("%s: %s", async (standing, answer, message) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });

  it("frees the offer when the client takes another server's", async () => {
    const world = await worldWith("offered A");
    await world.ask(selecting(OTHER, OTHER));
    expect(world.leases.mayHave(owner(2), world.own, A)).toBe(true);
  });
});

describe("REQUEST in state INIT-REBOOT", () => {
  it.each<Row>([
    ["unknown", "no record of this client", initReboot()],
    ["unknown", "nak", initReboot(RELAYED)],
    ["unknown", "nak", initReboot(ip("192.168.1.5"))],
    ["leased A", "ack 10.0.0.10", initReboot()],
    ["leased A", "nak", initReboot(B)],
    ["leased A", "nak", request("request", { requested: A, giaddr: RELAY })],
    ["pinned A", "ack 10.0.0.10", initReboot()],
    ["pinned A", "nak", initReboot(B)],
    ["reserved A", "ack 10.0.0.10", initReboot()],
    ["reserved A", "nak", initReboot(B)],
    ["A is another's", "nak", initReboot()],
  ])("%s: %s", async (standing, answer, message) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("REQUEST in states RENEWING and REBINDING", () => {
  it.each<Row>([
    ["leased A", "ack 10.0.0.10", extending()],
    ["leased A", "ack 10.0.0.10", request("request", { ciaddr: A, requested: A })], // against the RFC, seen all the same
    ["leased A", "nak", extending(B)],
    ["pinned A", "ack 10.0.0.10", extending()],
    ["unknown", "no record of this client", extending()],
    ["unknown", "nak", extending(ip("192.168.1.5"))],
    ["A is another's", "nak", extending()],
  ])("%s: %s", async (standing, answer, message) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });

  it("extends a lease got through a relay, asked for directly", async () => {
    const world = dhcpWorld();
    await world.leases.bind(owner(1), world.leases.offer(owner(1), world.relayed)!, 600);
    expect(await world.brief(extending(RELAYED))).toBe("ack 10.0.5.10");
  });

  it("is silent once the lease is over", async () => {
    const world = await worldWith("leased A");
    world.clock.turn(600);
    expect(await world.brief(extending())).toBe("no record of this client");
  });
});

describe("DECLINE, RELEASE and INFORM", () => {
  it.each<Row>([
    ["leased A", "quarantined", request("decline", { requested: A, serverId: OURS })],
    ["pinned A", "pinned", request("decline", { requested: A, serverId: OURS })],
    ["leased A", "meant for another server", request("decline", { requested: A, serverId: OTHER })],
    ["A is another's", "decline ignored", request("decline", { requested: A, serverId: OURS })],
    ["leased A", "released", request("release", { ciaddr: A, serverId: OURS })],
    ["leased A", "release ignored", request("release", { ciaddr: B, serverId: OURS })],
    ["pinned A", "release ignored", request("release", { ciaddr: A, serverId: OURS })],
    ["A is another's", "release ignored", request("release", { ciaddr: A, serverId: OURS })],
    ["unknown", "ack", request("inform", { ciaddr: A })],
    ["unknown", "no address named", request("inform")],
  ])("%s: %s", async (standing, answer, message) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("plain BOOTP", () => {
  it.each<Row>([
    ["unknown", "BOOTP client without a fixed address", request(undefined, { dhcp: false })],
    ["leased A", "BOOTP client without a fixed address", request(undefined, { dhcp: false })],
    ["reserved A", "bootreply 10.0.0.10", request(undefined, { dhcp: false })],
    ["pinned A", "bootreply 10.0.0.10", request(undefined)],
  ])("%s: %s", async (standing, answer, message) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("what is no request to a server", () => {
  it.each([
    ["a reply", { ...discover, op: "reply" as const }],
    ["a server's message", request("offer")],
    ["Infiniband", { ...discover, htype: 32, hlen: 0, chaddr: new Uint8Array() }],
    ["a REQUEST of no state", request("request")],
  ])("%s", async (_, message) => {
    expect(await dhcpWorld().brief(message)).toBe("no request to this network");
  });
});
