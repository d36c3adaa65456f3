import type { Portal } from "../../src/boot/boot-entry.ts";
import type { TargetServer, TargetSpec, TargetState } from "../../src/drivers/targets/target-server.ts";
import { ApplianceError } from "../../src/errors.ts";

/** A target server that only remembers. `login` lets a test play the initiator. */
export class MemoryTargetServer implements TargetServer {
  readonly targets = new Map<string, TargetSpec>();
  /** Targets that somebody has made otherwise: they acknowledge writes too early. */
  readonly cached = new Set<string>();
  /** Paths of backings that can't be opened. */
  readonly lost = new Set<string>();
  readonly sessions = new Map<string, string[]>();
  portals: Portal[] = [];
  #lastSession = 0;

  async ensureTarget(_control: number, target: TargetSpec): Promise<void> {
    const written = ({ units }: TargetSpec) => units.flatMap((unit) => (unit.readOnly ? [] : [unit.backing.path]));
    for (const other of this.targets.values()) {
      const both = other.iqn !== target.iqn && written(other).find((path) => written(target).includes(path));
      if (both) throw new ApplianceError("IN_USE", `${both} is served as ${other.iqn} already`);
    }
    const missing = target.units.filter(({ backing }) => this.lost.has(backing.path));
    const units = target.units.filter((unit) => !missing.includes(unit));
    this.targets.set(target.iqn, missing.length > 0 ? { ...target, units } : target);
    this.cached.delete(target.iqn);
    if (missing.length === 0) return;
    const luns = missing.map(({ lun }) => lun);
    throw new ApplianceError("DRIVER_FAILED", `can't open ${missing[0]!.backing.path}`, { details: { luns } });
  }

  async removeTarget(_control: number, iqn: string): Promise<void> {
    this.targets.delete(iqn);
    this.sessions.delete(iqn);
  }

  async cutSessions(_control: number, iqn: string, sessions: string[]): Promise<void> {
    this.sessions.set(
      iqn,
      (this.sessions.get(iqn) ?? []).filter((id) => !sessions.includes(id)),
    );
  }

  async list(): Promise<TargetState[]> {
    return [...this.targets.values()].map((target) => ({
      iqn: target.iqn,
      units: target.units
        .map(({ lun, backing, readOnly }) => ({ lun, path: backing.path, readOnly }))
        .sort((one, other) => one.lun - other.lun),
      writeThrough: !this.cached.has(target.iqn),
      openTo: [target.openTo],
      accounts: [target.chap.user],
      sessions: (this.sessions.get(target.iqn) ?? []).map((id) => ({
        id,
        initiator: "iqn.test",
        addresses: ["10.0.0.1"],
        readBytes: 512,
      })),
    }));
  }

  async ensurePortals(_control: number, portals: Portal[], served: readonly string[]): Promise<void> {
    const isOpen = portals.every((one) =>
      this.portals.some(({ address, port }) => address === one.address && port === one.port),
    );
    if (!isOpen && served.some((iqn) => !this.targets.has(iqn))) throw new ApplianceError("UNAVAILABLE", "half-filled");
    this.portals = portals;
  }

  login(iqn: string): void {
    this.#lastSession += 1;
    this.sessions.set(iqn, [...(this.sessions.get(iqn) ?? []), String(this.#lastSession)]);
  }
}
