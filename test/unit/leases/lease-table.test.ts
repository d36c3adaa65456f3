import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isApplianceError } from "../../../src/errors.ts";
import { QUARANTINE_MS, STRANGER_SECONDS } from "../../../src/leases/lease-table.ts";
import { OFFER_HOLD_MS } from "../../../src/leases/offers.ts";
import type { ServedSubnet } from "../../../src/leases/served-subnet.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { ip, leaseWorld, macOf, owner, rack } from "./world.ts";

const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return isApplianceError(error) ? error.code : error;
  }
  return "none";
};

describe("offers", () => {
  it("keeps an address for its client alone, and gives the same one again", () => {
    const { leases, own } = leaseWorld();
    expect(leases.offer(owner(1), own)).toBe("10.0.0.10");
    expect(leases.offer(owner(2), own)).toBe("10.0.0.11");
    expect(leases.offer(owner(1), own)).toBe("10.0.0.10");
  });

  it("ends after a minute, and the address comes back", () => {
    const { leases, own, clock } = leaseWorld();
    for (const machine of [1, 2, 3, 4]) expect(leases.offer(owner(machine), own)).toBeDefined();
    expect(leases.offer(owner(5), own)).toBeUndefined();
    clock.turn(OFFER_HOLD_MS / 1000);
    expect(leases.offer(owner(5), own)).toBeDefined();
  });

  it("follows the client's wish where that is free and in the pool", async () => {
    const { leases, own, lease } = leaseWorld();
    await lease(1);
    expect(leases.offer(owner(2), own, ip("10.0.0.12"))).toBe("10.0.0.12");
    expect(leases.offer(owner(3), own, ip("10.0.0.10"))).toBe("10.0.0.11");
    expect(leases.offer(owner(4), own, ip("10.0.0.77"))).toBe("10.0.0.13");
  });

  it("never names what the configuration says is somebody's", () => {
    const network = rack({
      pool: [{ from: ip("10.0.0.0"), to: ip("10.0.0.6") }],
      router: ip("10.0.0.3"),
      dns: [ip("10.0.0.4")],
      exclude: [ip("10.0.0.5")],
    });
    const { leases, own } = leaseWorld(network);
    expect(leases.offer(owner(1), own)).toBe("10.0.0.6");
    expect(leases.offer(owner(2), own, ip("10.0.0.1"))).toBeUndefined();
  });

  it("takes addresses of the client's own subnet", () => {
    const { leases, relayed } = leaseWorld();
    expect(leases.offer(owner(1), relayed)).toBe("10.0.5.10");
    expect(leases.offer(owner(2), relayed, ip("10.0.0.10"))).toBe("10.0.5.11");
  });
});

describe("leases", () => {
  it("belong to a NIC, whoever speaks through it, and move with it to another subnet", async () => {
    const { leases, lease, relayed } = leaseWorld();
    expect(await lease(1)).toBe("10.0.0.10");
    expect(await lease(1)).toBe("10.0.0.10");
    await leases.bind(owner(1), leases.offer(owner(1), relayed)!, 600);
    expect(leases.list().map(({ address }) => address)).toEqual(["10.0.5.10"]);
    expect(leases.findByAddress(ip("10.0.0.10"))).toBeUndefined();
  });

  it("end at their time, are swept, and their addresses come back last", async () => {
    const { leases, lease, clock, records } = leaseWorld();
    for (const machine of [1, 2, 3]) await lease(machine);
    clock.turn(300);
    await leases.bind(owner(2), ip("10.0.0.11"), 600);
    clock.turn(310);
    expect(leases.find(owner(1))).toBeUndefined();
    expect(leases.list().map(({ mac }) => mac)).toEqual([macOf(2)]);
    while ((await leases.sweep()) > 0);
    expect([...records.collection("leases").entries()].map(([address]) => address)).toEqual(["10.0.0.11"]);
    expect(await lease(4)).toBe("10.0.0.13");
    expect(await lease(5)).toBe("10.0.0.10");
    expect(await lease(6)).toBe("10.0.0.12");
    expect(await lease(7)).toBeUndefined();
  });

  it("can't be had by somebody else", async () => {
    const { leases, lease } = leaseWorld();
    const address = await lease(1);
    await expect(leases.bind(owner(2), address!, 600)).rejects.toMatchObject({ code: "CONFLICT" });
  });

  it("are as before when the disk refuses", async () => {
    const { leases, lease, relayed, records, clock } = leaseWorld();
    await lease(1);
    records.held = true;
    const moved = leases.bind(owner(1), leases.offer(owner(1), relayed)!, 600);
    expect(leases.find(owner(1))?.address).toBe("10.0.5.10");
    records.refuse();
    await expect(moved).rejects.toThrow("refuses");
    expect(leases.find(owner(1))?.address).toBe("10.0.0.10");
    expect(leases.findByAddress(ip("10.0.5.10"))).toBeUndefined();
    clock.turn(620);
    const swept = leases.sweep();
    records.refuse();
    await expect(swept).rejects.toThrow("refuses");
    records.held = false;
    while ((await leases.sweep()) > 0);
    expect(records.collection("leases").size).toBe(0);
  });

  it("go when released by their own client, and only then", async () => {
    const { leases, lease } = leaseWorld();
    const address = await lease(1);
    expect(await leases.release(owner(2), address!)).toBe(false);
    expect(await leases.release(owner(1), ip("10.0.0.11"))).toBe(false);
    expect(await leases.release(owner(1), address!)).toBe(true);
    expect(leases.list()).toEqual([]);
  });

  it("are there after a restart, quarantines and pins too", async () => {
    const { leases, lease, pin, open } = leaseWorld();
    await lease(1);
    await lease(2);
    await leases.decline(owner(2), ip("10.0.0.11"));
    await pin(3);
    const again = open();
    const [own] = again.subnets("rack") as [ServedSubnet];
    expect(again.find(owner(1))?.address).toBe("10.0.0.10");
    expect(again.find(owner(3))?.address).toBe("10.0.0.12");
    expect(again.offer(owner(4), own)).toBe("10.0.0.13");
    expect(again.offer(owner(5), own)).toBeUndefined();
  });
});

describe("a declined address", () => {
  it("rests for an hour, for its former client too", async () => {
    const { leases, lease, clock, own } = leaseWorld();
    const address = await lease(1);
    expect(await leases.decline(owner(1), address!)).toBe("quarantined");
    expect(await lease(1)).toBe("10.0.0.11");
    clock.turn(QUARANTINE_MS / 1000);
    expect(leases.offer(owner(2), own, address)).toBe(address);
  });

  it("is not taken from its owner by somebody else's word", async () => {
    const { leases, lease } = leaseWorld();
    const address = await lease(1);
    expect(await leases.decline(owner(2), address!)).toBe("not-theirs");
    expect(leases.find(owner(1))?.address).toBe(address);
  });

  it("stays with its node when it is pinned", async () => {
    const { leases, pin } = leaseWorld();
    const address = await pin(1);
    expect(await leases.decline(owner(1), address)).toBe("pinned");
    expect(leases.find(owner(1))).toMatchObject({ address, state: "pinned" });
  });

  it("stays with its node when it is reserved, leased or on offer", async () => {
    const { leases, lease, own, reserved } = leaseWorld();
    reserved.set(macOf(1), ip("10.0.0.99")).set(macOf(2), ip("10.0.0.98"));
    await lease(1);
    expect(await leases.decline(owner(1), ip("10.0.0.99"))).toBe("reserved");
    expect(leases.find(owner(1))).toMatchObject({ address: "10.0.0.99", state: "bound" });
    leases.offer(owner(2), own);
    expect(await leases.decline(owner(2), ip("10.0.0.98"))).toBe("reserved");
    expect(leases.mayHave(owner(2), own, ip("10.0.0.98"))).toBe(true);
  });
});

describe("a reservation", () => {
  it("is its NIC's address, inside the pool or not, and nobody else's", async () => {
    const { leases, own, reserved } = leaseWorld();
    reserved.set(macOf(1), ip("10.0.0.10")).set(macOf(2), ip("10.0.0.99"));
    expect(leases.offer(owner(3), own, ip("10.0.0.10"))).toBe("10.0.0.11");
    expect(leases.offer(owner(1), own)).toBe("10.0.0.10");
    expect(leases.offer(owner(2), own)).toBe("10.0.0.99");
    expect(leases.mayHave(owner(3), own, ip("10.0.0.99"))).toBe(false);
  });

  it("made for a NIC that has another lease moves it, and waits for a NIC that has its address", async () => {
    const { leases, lease, own, reserved } = leaseWorld();
    await lease(1);
    await lease(2);
    reserved.set(macOf(1), ip("10.0.0.11"));
    expect(leases.assigned(owner(1), own)).toBe("10.0.0.10");
    expect(leases.assigned(owner(2), own)).toBeUndefined();
    await leases.release(owner(2), ip("10.0.0.11"));
    expect(leases.assigned(owner(1), own)).toBe("10.0.0.11");
  });

  it("that ends lets the pool find its address again", async () => {
    const { leases, lease, own, reserved } = leaseWorld();
    reserved.set(macOf(9), ip("10.0.0.10"));
    for (const machine of [1, 2, 3]) await lease(machine);
    expect(leases.offer(owner(4), own)).toBeUndefined();
    reserved.clear();
    expect(leases.offer(owner(4), own)).toBe("10.0.0.10");
  });
});

describe("a machine that nobody registered", () => {
  const pool = { pool: [{ from: ip("10.0.0.10"), to: ip("10.0.0.29") }] };

  it("gets none of the last tenth of a pool, neither offered nor by name, and keeps what it has", async () => {
    const { leases, lease, own, strangers } = leaseWorld(rack(pool));
    for (let machine = 1; machine <= 40; machine++) strangers.add(macOf(machine));
    for (let machine = 1; machine <= 18; machine++) expect(await lease(machine)).toBeDefined();
    expect(leases.offer(owner(19), own)).toBeUndefined();
    expect(leases.offer(owner(19), own, ip("10.0.0.29"))).toBeUndefined();
    expect(leases.mayHave(owner(19), own, ip("10.0.0.29"))).toBe(false);
    expect(leases.offer(owner(18), own)).toBe("10.0.0.27");
    expect(await Promise.all([lease(50), lease(51), lease(52)])).toEqual(["10.0.0.28", "10.0.0.29", undefined]);
  });

  it("may have the last address of a pool that is too small to share", async () => {
    const { lease, strangers } = leaseWorld(rack({ pool: [{ from: ip("10.0.0.10"), to: ip("10.0.0.11") }] }));
    strangers.add(macOf(2));
    expect(await Promise.all([lease(1), lease(2)])).toEqual(["10.0.0.10", "10.0.0.11"]);
  });

  it("frees its share for others when its offers and leases end", async () => {
    const { leases, lease, own, strangers, clock } = leaseWorld(rack(pool));
    for (let machine = 1; machine <= 40; machine++) strangers.add(macOf(machine));
    for (let machine = 1; machine <= 9; machine++) leases.offer(owner(machine), own);
    for (let machine = 10; machine <= 18; machine++) await lease(machine);
    expect(leases.offer(owner(19), own)).toBeUndefined();
    clock.turn(60);
    for (let machine = 20; machine <= 28; machine++) expect(leases.offer(owner(machine), own)).toBeDefined();
    expect(leases.offer(owner(29), own)).toBeUndefined();
    clock.turn(600);
    await leases.sweep();
    for (let machine = 20; machine <= 37; machine++) expect(leases.offer(owner(machine), own)).toBeDefined();
    expect(leases.offer(owner(38), own)).toBeUndefined();
  });

  it("gets a short lease until it comes back for more", async () => {
    const { leases, strangers, clock } = leaseWorld();
    const [stranger, address] = [owner(1), ip("10.0.0.10")];
    strangers.add(stranger.mac);
    const granted = () => leases.grantedSeconds(stranger, address, 3600);
    expect(leases.grantedSeconds(owner(2), address, 3600)).toBe(3600);
    expect(leases.grantedSeconds(stranger, address, 60)).toBe(60);
    expect(granted()).toBe(STRANGER_SECONDS);
    await leases.bind(stranger, address, granted());
    expect(granted()).toBe(STRANGER_SECONDS);
    clock.turn(STRANGER_SECONDS / 2);
    expect(granted()).toBe(3600);
    await leases.bind(stranger, address, granted());
    expect(granted()).toBe(3600);
    clock.turn(3600);
    expect(granted()).toBe(STRANGER_SECONDS);
  });
});

describe("a pin", () => {
  it("keeps the address that the NIC has, for ever, renewed or not", async () => {
    const { leases, lease, pin, clock, own } = leaseWorld();
    const address = await lease(1);
    expect(await pin(1)).toBe(address);
    clock.turn(100 * 600);
    while ((await leases.sweep()) > 0);
    expect(leases.find(owner(1))).toMatchObject({ address, state: "pinned" });
    expect(leases.mayHave(owner(2), own, address!)).toBe(false);
    expect(await leases.release(owner(1), address!)).toBe(false);
    await leases.bind(owner(1), address!, 600);
    expect(leases.find(owner(1))?.state).toBe("pinned");
  });

  it("is the same when made twice, and leaves nothing when undone, twice too", async () => {
    const { pin, unpin, records, leases } = leaseWorld();
    expect(await pin(1)).toBe(await pin(1));
    expect(records.collection("leases").size).toBe(1);
    await unpin(1);
    await unpin(1);
    expect(records.collection("leases").size).toBe(0);
    expect(leases.find(owner(1))).toBeUndefined();
  });

  it("keeps its address from others before it is committed, and a lease from harm if it never is", async () => {
    const { leases, lease, own } = leaseWorld();
    await lease(1);
    const { address } = leases.pin(macOf(1), "rack", ip("10.0.0.12"));
    expect(address).toBe("10.0.0.12");
    expect(leases.mayHave(owner(2), own, address)).toBe(false);
    expect(leases.find(owner(1))).toMatchObject({ address: "10.0.0.10", state: "bound" });
  });

  it("moves a lease to the wished address in one commit", async () => {
    const { lease, pin, leases } = leaseWorld();
    await lease(1);
    await pin(1, ip("10.0.0.50"));
    expect(leases.list().map(({ address, state }) => [address, state])).toEqual([["10.0.0.50", "pinned"]]);
  });

  it("does not bind its NIC to anything in another subnet", async () => {
    const { leases, pin, relayed } = leaseWorld();
    await pin(1);
    expect(leases.offer(owner(1), relayed)).toBeUndefined();
    expect(leases.mayHave(owner(1), relayed, ip("10.0.5.10"))).toBe(false);
  });

  it("refuses what can't be", async () => {
    const { leases, lease, pin } = leaseWorld();
    const taken = await lease(1);
    expect(codeOf(() => leases.pin(macOf(2), "rack", taken))).toBe("CONFLICT");
    for (const wrong of ["10.9.9.9", "10.0.0.0", "10.0.0.255", "10.0.0.1", "10.0.0.2", "10.0.5.254"])
      expect([wrong, codeOf(() => leases.pin(macOf(2), "rack", ip(wrong)))]).toEqual([wrong, "INVALID"]);
    await pin(2);
    expect(codeOf(() => leases.pin(macOf(2), "rack", ip("10.0.0.60")))).toBe("CONFLICT");
    await lease(3);
    await lease(4);
    expect(codeOf(() => leases.pin(macOf(5), "rack"))).toBe("NO_ADDRESS");
  });
});

describe("whatever happens in whatever order", () => {
  const machines = fc.integer({ min: 1, max: 7 });
  const step = fc.oneof(
    fc.record({ do: fc.constantFrom("lease", "pin", "unpin", "release", "decline", "sweep"), machine: machines }),
    fc.record({ do: fc.constant("wait"), machine: fc.integer({ min: 1, max: 900 }) }),
  );

  it("no address has two owners, no NIC two addresses, pins hold, and a restart changes nothing", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { leases, lease, pin, unpin, clock, open } = leaseWorld();
        const pinned = new Map<number, Ipv4>();
        for (const { do: what, machine } of steps) {
          const address = leases.find(owner(machine))?.address ?? ip("10.0.0.10");
          if (what === "lease") await lease(machine);
          if (what === "pin")
            await pin(machine).then(
              (one) => pinned.set(machine, one),
              () => {},
            );
          if (what === "unpin") await unpin(machine).then(() => pinned.delete(machine));
          if (what === "release") await leases.release(owner(machine), address);
          if (what === "decline") await leases.decline(owner(machine), address);
          if (what === "sweep") await leases.sweep();
          if (what === "wait") clock.turn(machine);

          const held = leases.list().filter(({ state }) => state !== "declined");
          expect(new Set(held.map(({ mac }) => mac)).size).toBe(held.length);
          for (const one of held) expect(leases.find(one)).toEqual(one);
          for (const [machine, address] of pinned)
            expect(leases.find(owner(machine))).toMatchObject({ address, state: "pinned" });
        }
        const again = open();
        expect(again.list()).toEqual(leases.list());
        for (let machine = 1; machine <= 7; machine++)
          expect(again.find(owner(machine))).toEqual(leases.find(owner(machine)));
      }),
      { numRuns: 200 },
    );
  });
});
