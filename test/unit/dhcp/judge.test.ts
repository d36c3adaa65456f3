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

type Row = [standing: Standing, message: ReturnType<typeof request>, answer: string];

const discover = request("discover");
const selecting = (requested = A, serverId = OURS) => request("request", { requested, serverId });
const initReboot = (requested = A) => request("request", { requested });
const extending = (ciaddr = A) => request("request", { ciaddr });

describe("DISCOVER", () => {
  it.each<Row>([
    ["unknown", discover, "offer 10.0.0.10"],
    ["unknown", request("discover", { requested: B }), "offer 10.0.0.11"],
    ["unknown", request("discover", { requested: RELAYED }), "offer 10.0.0.10"],
    ["unknown", request("discover", { giaddr: RELAY }), "offer 10.0.5.10"],
    ["unknown", request("discover", { giaddr: ip("10.7.7.7") }), "no request to this network"],
    ["offered A", request("discover", { requested: B }), "offer 10.0.0.10"],
    ["leased A", request("discover", { requested: B }), "offer 10.0.0.10"],
    ["leased A", request("discover", { giaddr: RELAY }), "offer 10.0.5.10"],
    ["pinned A", request("discover", { requested: B }), "offer 10.0.0.10"],
    ["pinned A", request("discover", { giaddr: RELAY }), "no address"],
    ["reserved A", request("discover", { requested: B }), "offer 10.0.0.10"],
    ["A is another's", request("discover", { requested: A }), "offer 10.0.0.11"],
    ["declined A", request("discover", { requested: A }), "offer 10.0.0.11"],
  ])("%s", async (standing, message, answer) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("REQUEST in state SELECTING", () => {
  it.each<Row>([
    ["offered A", selecting(), "ack 10.0.0.10"],
    ["offered A", selecting(B), "nak"],
    ["offered A", selecting(A, OTHER), "meant for another server"],
    ["unknown", selecting(), "ack 10.0.0.10"], // we restarted since the OFFER
    ["unknown", selecting(ip("10.0.0.99")), "nak"],
    ["unknown", selecting(RELAYED), "nak"],
    ["leased A", selecting(), "ack 10.0.0.10"],
    ["leased A", selecting(B), "nak"],
    ["pinned A", selecting(), "ack 10.0.0.10"],
    ["pinned A", selecting(B), "nak"],
    ["reserved A", selecting(B), "nak"],
    ["A is another's", selecting(), "nak"],
    ["declined A", selecting(), "nak"],
  ])("%s", async (standing, message, answer) => {
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
    ["unknown", initReboot(), "no record of this client"],
    ["unknown", initReboot(RELAYED), "nak"],
    ["unknown", initReboot(ip("192.168.1.5")), "nak"],
    ["leased A", initReboot(), "ack 10.0.0.10"],
    ["leased A", initReboot(B), "nak"],
    ["leased A", request("request", { requested: A, giaddr: RELAY }), "nak"],
    ["pinned A", initReboot(), "ack 10.0.0.10"],
    ["pinned A", initReboot(B), "nak"],
    ["reserved A", initReboot(), "ack 10.0.0.10"],
    ["reserved A", initReboot(B), "nak"],
    ["A is another's", initReboot(), "nak"],
  ])("%s", async (standing, message, answer) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("REQUEST in states RENEWING and REBINDING", () => {
  it.each<Row>([
    ["leased A", extending(), "ack 10.0.0.10"],
    ["leased A", request("request", { ciaddr: A, requested: A }), "ack 10.0.0.10"], // against the RFC, seen all the same
    ["leased A", extending(B), "nak"],
    ["pinned A", extending(), "ack 10.0.0.10"],
    ["unknown", extending(), "no record of this client"],
    ["unknown", extending(ip("192.168.1.5")), "nak"],
    ["A is another's", extending(), "nak"],
  ])("%s", async (standing, message, answer) => {
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
    ["leased A", request("decline", { requested: A, serverId: OURS }), "quarantined"],
    ["pinned A", request("decline", { requested: A, serverId: OURS }), "pinned"],
    ["leased A", request("decline", { requested: A, serverId: OTHER }), "meant for another server"],
    ["A is another's", request("decline", { requested: A, serverId: OURS }), "decline ignored"],
    ["leased A", request("release", { ciaddr: A, serverId: OURS }), "released"],
    ["leased A", request("release", { ciaddr: B, serverId: OURS }), "release ignored"],
    ["pinned A", request("release", { ciaddr: A, serverId: OURS }), "release ignored"],
    ["A is another's", request("release", { ciaddr: A, serverId: OURS }), "release ignored"],
    ["unknown", request("inform", { ciaddr: A }), "ack"],
    ["unknown", request("inform"), "no address named"],
  ])("%s", async (standing, message, answer) => {
    expect(await (await worldWith(standing)).brief(message)).toBe(answer);
  });
});

describe("plain BOOTP", () => {
  it.each<Row>([
    ["unknown", request(undefined, { dhcp: false }), "BOOTP client without a fixed address"],
    ["leased A", request(undefined, { dhcp: false }), "BOOTP client without a fixed address"],
    ["reserved A", request(undefined, { dhcp: false }), "bootreply 10.0.0.10"],
    ["pinned A", request(undefined), "bootreply 10.0.0.10"],
  ])("%s", async (standing, message, answer) => {
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
