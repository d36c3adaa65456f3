import { expect, it } from "vitest";
import { branches } from "../../../src/cli/text/tree.ts";
import type { DiskRecord } from "../../../src/disks/disk.ts";
import type { ImageRecord } from "../../../src/images/image.ts";
import { lineage } from "../../../src/images/lineage.ts";

const imported = (name: string) => image(name, { kind: "import", source: `/import/${name}`, format: "raw" });
const snapshot = (name: string, disk: string) => image(name, { kind: "snapshot", disk, clean: true });

function image(name: string, origin: ImageRecord["origin"]): ImageRecord {
  return {
    ...{ id: `img-${name}`, name, project: "default", origin, sizeBytes: 1 },
    ...{ phonesHome: false, ready: true, createdAt: 0, requestedBy: "test" },
  };
}

function disk(name: string, of: string): DiskRecord {
  return {
    ...{ id: `disk-${name}`, name, project: "default", image: of, sizeBytes: 1 },
    ...{ clean: true, createdAt: 0, requestedBy: "test" },
  };
}

/** As a person would see it. */
function drawn(images: ImageRecord[], disks: DiskRecord[]): string[] {
  const relatives = lineage(images, disks);
  const branch = branches(relatives);
  return relatives.map(({ id, record }, index) => `${branch[index]}${record?.name ?? `${id}, gone`}`);
}

it("puts each below what it came from, brothers as people count", () => {
  const images = [imported("debian"), snapshot("tuned", "disk-node-2"), imported("alpine")];
  const disks = [disk("node-10", "img-debian"), disk("node-2", "img-debian"), disk("web", "img-tuned")];
  expect(drawn(images, disks)).toEqual(["alpine", "debian", "├─ node-2", "│  └─ tuned", "│     └─ web", "└─ node-10"]);
});

it("keeps what came from something that is gone", () => {
  expect(drawn([snapshot("kept", "disk-old")], [disk("orphan", "img-lost"), disk("copy", "img-kept")])).toEqual([
    "disk-old, gone",
    "└─ kept",
    "   └─ copy",
    "img-lost, gone",
    "└─ orphan",
  ]);
});

it("is empty where there is nothing", () => {
  expect(drawn([], [])).toEqual([]);
});
