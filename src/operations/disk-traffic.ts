import type { TargetState } from "../drivers/targets/target-server.ts";

/** Bytes that a node read from and wrote to its disk. */
export type Traffic = { readBytes: number; writtenBytes: number };

type Counted = { over: Traffic; sessions: Map<string, Traffic> };

/**
 * What nodes move over iSCSI, per target, since this process first saw it. The daemon counts per session and forgets with
 * it, and one boot has several: iPXE's, the initramfs', and the one that iscsid opens when it takes over.
 */
export class DiskTraffic {
  readonly #targets = new Map<string, Counted>();

  /** Takes what a daemon serves now. A target that is gone for a moment keeps its count. */
  record(states: TargetState[]): void {
    for (const { iqn, sessions } of states) {
      const counted = this.#targets.get(iqn) ?? { over: { readBytes: 0, writtenBytes: 0 }, sessions: new Map() };
      const now = new Map(sessions.map(({ id, readBytes = 0, writtenBytes = 0 }) => [id, { readBytes, writtenBytes }]));
      for (const [id, traffic] of counted.sessions) if (!now.has(id)) add(counted.over, traffic);
      this.#targets.set(iqn, { over: counted.over, sessions: now });
    }
  }

  /** Forgets a target: its disk is released. */
  forget(iqn: string): void {
    this.#targets.delete(iqn);
  }

  /** All sessions together, up to the last look at the daemon. */
  of(iqn: string): Traffic {
    const { over, sessions } = this.#targets.get(iqn) ?? { over: { readBytes: 0, writtenBytes: 0 }, sessions: [] };
    const sum = { ...over };
    for (const [, traffic] of sessions) add(sum, traffic);
    return sum;
  }
}

function add(sum: Traffic, traffic: Traffic): void {
  sum.readBytes += traffic.readBytes;
  sum.writtenBytes += traffic.writtenBytes;
}
