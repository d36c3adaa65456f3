import type { BootEntry } from "../boot/boot-entry.ts";
import type { Clock } from "../clock.ts";
import type { DiskRecord } from "../disks/disk.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { type DiskTenure, type NodeTenure, openKey, TENURES, type Tenure } from "./tenure.ts";

const DAY_MS = 86_400_000;

/** What tells of an operation under way; of its record. */
type Under = { id: string; requestedBy: string; holds: string[]; endedAt?: number };

/**
 * Records that remember who had what when: whatever changes a boot entry or a disk begins or ends a tenure in the same commit, so
 * that no crash tears the two apart.
 */
export function keepTenures(records: Records, clock: Clock): Records {
  const follow = followRecords(records, clock);
  return {
    collection: <T extends object>(name: string) => records.collection<T>(name),
    commit: (changes) => {
      const tenures = changes.flatMap(follow);
      return records.commit(tenures.length === 0 ? changes : [...changes, ...tenures]);
    },
  };
}

/** Brings tenures in line with what there is: of an appliance whose records are older than they, or were made anew. */
export async function alignTenures(records: Records, clock: Clock): Promise<void> {
  const follow = followRecords(records, clock);
  const tenures = records.collection<Tenure>(TENURES);
  const current: Change[] = [];
  for (const collection of ["bootEntries", "disks"]) {
    for (const [key, value] of records.collection(collection).entries()) current.push({ collection, key, value });
  }
  const known = new Set(current.map(({ collection, key }) => openKey(collection === "disks" ? "disk" : "node", key)));
  const gone = [...tenures.entries()].flatMap(([key, tenure]) =>
    key.startsWith("open:") && !known.has(key) ? closed(key, tenure, clock.now()) : [],
  );
  const changes = [...current.flatMap(follow), ...gone];
  if (changes.length > 0) await records.commit(changes);
}

/** Forgets the tenures that ended before so many days. */
export async function forgetTenures(records: Records, clock: Clock, days: number): Promise<void> {
  const before = clock.now() - days * DAY_MS;
  const old = [...records.collection<Tenure>(TENURES).entries()].flatMap(([key, { until = before }]) =>
    until < before ? [{ collection: TENURES, key, value: null }] : [],
  );
  if (old.length > 0) await records.commit(old);
}

function followRecords(records: Records, clock: Clock): (change: Change) => Change[] {
  const tenures: Collection<Tenure> = records.collection(TENURES);
  const operations: Collection<Under> = records.collection("operations");
  return ({ collection, key: id, value }) => {
    if (collection !== "bootEntries" && collection !== "disks") return [];
    const kind = collection === "disks" ? "disk" : "node";
    const key = openKey(kind, id);
    const open = tenures.get(key);
    const now = clock.now();
    const next =
      value === null
        ? undefined
        : kind === "disk"
          ? diskTenure(value as DiskRecord, open ? now : (value as DiskRecord).createdAt)
          : nodeTenure(value as BootEntry, operations);
    if (open && next && isSame(open, next)) return [];
    return [
      ...(open ? closed(key, open, now) : []),
      ...(next ? [{ collection: TENURES, key, value: next }] : open ? [{ collection: TENURES, key, value: null }] : []),
    ];
  };
}

function nodeTenure(entry: BootEntry, operations: Collection<Under>): NodeTenure {
  const { node, nodeName, project, disk, mac, network, address, createdAt } = entry;
  const operation = [...operations.values()].find((one) => one.endedAt === undefined && one.holds.includes(node));
  return {
    ...{ kind: "node", node, nodeName, project, disk, mac, network, ...(address ? { address } : {}) },
    ...(operation ? { requestedBy: operation.requestedBy, operation: operation.id } : {}),
    since: createdAt,
  };
}

function diskTenure({ id, name, project, node, sizeBytes }: DiskRecord, since: number): DiskTenure {
  return { kind: "disk", disk: id, diskName: name, project, ...(node === undefined ? {} : { node }), sizeBytes, since };
}

/** Whether nothing has changed that anybody would ask for. Another boot entry is another tenure, even of the same disk. */
function isSame(open: Tenure, next: Tenure): boolean {
  const facts = (tenure: Tenure) =>
    JSON.stringify({ ...tenure, since: tenure.kind === "node" && tenure.since, requestedBy: 0, operation: 0 });
  return facts(open) === facts(next);
}

function closed(key: string, tenure: Tenure, until: number): Change[] {
  const over = {
    collection: TENURES,
    key: `${key.slice("open:".length)}@${tenure.since}`,
    value: { ...tenure, until },
  };
  // what was there for no time was not there
  return [...(until > tenure.since ? [over] : []), { collection: TENURES, key, value: null }];
}
