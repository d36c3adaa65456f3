import { chownSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { LeaseRecord } from "../../src/leases/lease.ts";
import { createLog } from "../../src/log.ts";
import type { Change } from "../../src/store/records.ts";
import { Store } from "../../src/store/store.ts";
import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../../src/values/ipv4.ts";
import type { Mac } from "../../src/values/mac.ts";

const CHANGES_PER_COMMIT = 1000;
const LEASE_MS = 24 * 3600 * 1000;

/** What a state directory is filled with. */
export type Filling = {
  /** Provisioning network of it all. */
  network: string;
  /** Leases in force, of as many machines, from this address on. */
  leases: number;
  firstAddress: string;
  /** More changes, such as nodes. */
  more?: Change[];
  /** User id of the ingotd that will work on it. */
  owner: number;
};

/** Fills a state directory that exists and that nobody works on, by the store's own code. */
export async function fillState(directory: string, { network, leases, firstAddress, more = [], owner }: Filling) {
  const store = await Store.open(directory, createLog("error"));
  const first = ipv4ToNumber(firstAddress as Ipv4);
  const expiresAt = Date.now() + LEASE_MS;
  const changes = [...more];
  for (let index = 0; index < leases; index++) {
    const address = ipv4FromNumber(first + index);
    const lease: LeaseRecord = { address, network, mac: leaseMac(index), state: "bound", expiresAt };
    changes.push({ collection: "leases", key: address, value: lease });
  }
  for (let at = 0; at < changes.length; at += CHANGES_PER_COMMIT) {
    await store.commit(changes.slice(at, at + CHANGES_PER_COMMIT));
  }
  await store.close();
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    chownSync(join(directory, name), owner, owner);
  }
}

/** The machine that holds the lease of this number. */
function leaseMac(index: number): Mac {
  const hex = index.toString(16).padStart(8, "0");
  return `02:0d:${hex.match(/../g)?.join(":")}` as Mac;
}
