import { leaseHeld } from "../../src/drivers/images/lease-held.ts";
import type { PoolLeases } from "../../src/drivers/images/pool-leases.ts";

/** Leases in memory. Held to test/contract/pool-catalogue.test.ts like the real ones. */
export class MemoryPoolLeases implements PoolLeases {
  readonly leases = new Map<string, { holder: string; token: number; until: number }>();

  async take(name: string, holder: string, seconds: number): Promise<number> {
    const lease = this.leases.get(name);
    const other = await this.holder(name);
    if (other !== undefined && other !== holder) throw leaseHeld(name, other);
    const token = lease?.holder === holder ? lease.token : (lease?.token ?? 0) + 1;
    this.leases.set(name, { holder, token, until: Date.now() + seconds * 1000 });
    return token;
  }

  async giveBack(name: string, holder: string): Promise<void> {
    const lease = this.leases.get(name);
    if (lease?.holder === holder) lease.until = 0;
  }

  async holder(name: string): Promise<string | undefined> {
    const lease = this.leases.get(name);
    return lease && lease.until > Date.now() ? lease.holder : undefined;
  }
}
