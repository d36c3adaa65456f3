/**
 * What `ingot reconcile` can repair, each by explicit choice:
 * `content-missing`: a record whose content is not in the pool; the record goes.
 * `size-differs`: the record tells another size than the pool; the record follows.
 * `taken`: a record of what another appliance has adopted; the record goes.
 * `attachment`: a disk attached to a node that does not boot it; it is detached.
 * `leftover`: something half made, or the former content of a reverted disk; it goes, or is finished.
 * `former-target`: a target of an appliance that is lost; it goes once nobody is heard on it.
 * `networks`: NICs that the isolator has in other networks than the records; they are moved, into networks that are made again where it lost them.
 * `owner`: a node that the isolator has for another project than the records, or for one where nobody has it; so it is there afterwards.
 * `powered`: a node that is on although nobody has it; its power is cut.
 */
export const REPAIRS = [
  "content-missing",
  "size-differs",
  "taken",
  "attachment",
  "leftover",
  "former-target",
  "networks",
  "owner",
  "powered",
] as const;
export type Repair = (typeof REPAIRS)[number];

/** The remedy by a repair, and what that does. */
export function repairBy(kind: Repair, effect: string): string {
  return `ingot reconcile --repair ${kind} ${effect}`;
}
