import { Turns } from "../../turns.ts";
import { leaseHeld } from "../lease-held.ts";
import type { PoolLeases } from "../pool-leases.ts";
import type { RbdPool } from "./rbd-pool.ts";

/**
 * Leases in a Ceph pool: each an object `ingot.lease.<name>` with RADOS's own lock, which the cluster ends when its time
 * is over, and the token as its content.
 */
export function createRbdLeases(pool: RbdPool): PoolLeases {
  const turns = new Turns();
  const object = (name: string) => `ingot.lease.${name}`;
  return {
    take: (name, holder, seconds, signal) =>
      turns.take(
        name,
        async () => {
          const other = await pool.lock(object(name), holder, seconds, signal);
          if (other !== undefined) throw leaseHeld(name, other);
          const [last = "", token = "0"] = (await pool.readObject(object(name), signal)).split(" ");
          if (last === holder) return Number(token);
          const next = Number(token) + 1;
          await pool.writeObject(object(name), `${holder} ${next}`, signal);
          return next;
        },
        signal,
      ),
    giveBack: (name, holder, signal) =>
      turns.take(
        name,
        async () => {
          if ((await pool.lockHolder(object(name), signal)) === holder) await pool.unlock(object(name), holder, signal);
        },
        signal,
      ),
    holder: (name, signal) => pool.lockHolder(object(name), signal),
  };
}
