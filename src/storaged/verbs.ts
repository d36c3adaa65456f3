import { z } from "zod";
import type { Portal } from "../boot/boot-entry.ts";
import { checkOwner, descriptionSchema } from "../drivers/images/description.ts";
import type { FileExport, ImageExchange } from "../drivers/images/image-exchange.ts";
import type { ImageStore, ImportRequest, ReadRequest, StoredKind } from "../drivers/images/image-store.ts";
import type { PoolCatalogue } from "../drivers/images/pool-catalogue.ts";
import type { PoolLeases } from "../drivers/images/pool-leases.ts";
import type { PoolSpace } from "../drivers/images/pool-space.ts";
import type { TargetServer, TargetSpec } from "../drivers/targets/target-server.ts";
import { COMPRESSIONS, IMAGE_FORMATS } from "../values/image-format.ts";
import { parseIpv4 } from "../values/ipv4.ts";
import { parsed, sha256Field } from "../values/zod.ts";

/** What a call is given beside its arguments. */
export type Call = {
  signal: AbortSignal;
  progress: (done: number, total: number) => void;
  /** The appliance that calls. */
  as?: string | undefined;
};

/** One thing that storaged does: `args` is checked before `run` sees it. */
export type Verb = { run: (args: unknown, call: Call) => Promise<unknown> };

const id = z.string().max(63);
/** Of a lease: they are names of files and objects. */
const leaseName = z.string().regex(/^[a-z0-9-]{1,80}$/);
const kind = z.enum(["image", "disk"]);
const sizeBytes = z.number().int().positive();
const byte = z.number().int().nonnegative();
const range = z.strictObject({ first: byte, last: byte }).refine(({ first, last }) => first <= last, "ends first");
const fileExport = z.strictObject({
  id,
  image: id,
  path: z.string().startsWith("/").max(4096),
  format: z.enum(["raw", "qcow2", "rbd-diff"]),
  compression: z.enum(["none", "zst"]),
  since: z.strictObject({ image: id, name: z.string().max(127) }).optional(),
  about: z.strictObject({ name: z.string().max(63), project: z.string().max(63) }),
});
const increment = z.strictObject({ image: id, base: id, path: z.string().max(4096) });
const adoption = z.strictObject({ image: id, source: z.string().max(310) });
const limit = z.number().int().positive().exactOptional();
const publication = z.strictObject({ id, image: id, target: z.string().max(310) });
const control = z.number().int().min(0).max(32767);
const address = parsed(parseIpv4);
// RFC 7143 4.2.7.1: lower case after normalisation, 223 bytes at most.
const iqn = z
  .string()
  .max(223)
  .regex(/^iqn\.\d{4}-\d{2}\.[a-z0-9.:-]+$/, "not an iSCSI qualified name");
const account = z.strictObject({
  user: z.string().regex(/^[A-Za-z0-9._:-]{1,63}$/, "use 1 to 63 letters, digits, dots, dashes, colons, underscores"),
  // RFC 7143 9.2.1 asks for 96 bits; firmware takes 16 characters at most.
  secret: z.string().regex(/^[\x21-\x2b\x2d-\x7e]{12,16}$/, "use 12 to 16 printable characters other than comma"),
});
const chap = account
  .extend({ reverse: account.optional() })
  // RFC 7143 9.2.1: an initiator must refuse a target that proves itself with the initiator's own secret.
  .refine(({ secret, reverse }) => secret !== reverse?.secret, "the reverse secret must be another one");
const portal = z.strictObject({ address, port: z.number().int().min(1).max(65535) });
const unit = z.strictObject({
  lun: z.number().int().min(1).max(255),
  disk: id,
  backing: z.strictObject({
    type: z.enum(["file", "rbd"]),
    path: z.string().max(1024),
    options: z.string().max(1024).optional(),
    unmap: z.boolean().optional(),
  }),
  readOnly: z.boolean(),
});
const target = z.strictObject({
  iqn,
  units: z
    .array(unit)
    .min(1)
    .max(255)
    .refine((units) => new Set(units.map(({ lun }) => lun)).size === units.length, "two disks at one LUN"),
  openTo: z.union([address, iqn]),
  chap,
});

/** What storaged runs for ingotd. */
export type StorageDrivers = {
  images: ImageStore;
  space: PoolSpace;
  catalogue: PoolCatalogue;
  leases: PoolLeases;
  exchange: ImageExchange;
  targets: TargetServer;
};

/** All that storaged can be asked, with the arguments' schemas. `checkUnused` guards disks that a target serves. */
export function storageVerbs(
  { images, space, catalogue, leases, exchange, targets }: StorageDrivers,
  checkUnused: DiskCheck,
) {
  /** Things change by the appliance that they belong to: another one may have adopted them meanwhile. */
  const checkOwned = async (kind: StoredKind, id: string, appliance: string | undefined, signal: AbortSignal) => {
    if (appliance === undefined) return;
    checkOwner({ kind, id }, await catalogue.owner(kind, id, signal), appliance);
  };

  return {
    "images.import": verb(
      z.strictObject({
        image: id,
        path: z.string().max(4096),
        format: z.enum(IMAGE_FORMATS),
        compression: z.enum(COMPRESSIONS).optional(),
        sha256: sha256Field.optional(),
      }),
      (args, { signal, progress }) => images.import(args as ImportRequest, progress, signal),
    ),
    "images.read": verb(
      z
        .strictObject({
          image: id,
          range: range.optional(),
          layout: z.string().max(64).optional(),
          compression: z.literal("zst").optional(),
        })
        .refine(({ range, layout }) => layout === undefined || range, "a layout needs a range"),
      (request, { signal }) => images.read(request as ReadRequest, signal),
    ),
    "images.layout": verb(z.strictObject({ image: id }), ({ image }, { signal }) => images.layout(image, signal)),
    "images.clone": verb(
      z.strictObject({ image: id, disk: id, sizeBytes: sizeBytes.optional() }),
      ({ image, disk, sizeBytes }, { signal }) => images.clone(image, disk, signal, sizeBytes),
    ),
    "images.create": verb(z.strictObject({ disk: id, sizeBytes }), ({ disk, sizeBytes }, { signal }) =>
      images.create(disk, sizeBytes, signal),
    ),
    "images.snapshot": verb(z.strictObject({ image: id, disk: id }), ({ image, disk }, { signal }) =>
      images.snapshot(disk, image, signal),
    ),
    "images.copy": verb(z.strictObject({ image: id, copy: id }), ({ image, copy }, { signal }) =>
      images.copy(image, copy, signal),
    ),
    "images.setAside": verb(z.strictObject({ image: id, disk: id }), async ({ image, disk }, { signal, as }) => {
      await checkOwned("disk", disk, as, signal);
      await checkUnused(disk, signal);
      await images.setAside(disk, image, signal);
    }),
    "images.revert": verb(
      z.strictObject({ image: id, disk: id, sizeBytes: sizeBytes.optional() }),
      async ({ image, disk, sizeBytes }, { signal, as }) => {
        await checkOwned("disk", disk, as, signal);
        await checkUnused(disk, signal);
        await images.revert(disk, image, signal, sizeBytes);
      },
    ),
    "images.flatten": verb(
      z.strictObject({ kind, id, served: z.boolean() }),
      async (args, { signal, progress, as }) => {
        await checkOwned(args.kind, args.id, as, signal);
        if (args.kind === "disk" && !args.served) await checkUnused(args.id, signal);
        await images.flatten(args, progress, signal);
      },
    ),
    "images.limit": verb(
      z.strictObject({ disk: id, limits: z.strictObject({ iops: limit, bytesPerSecond: limit }) }),
      async ({ disk, limits }, { signal, as }) => {
        await checkOwned("disk", disk, as, signal);
        await images.limit(disk, limits, signal);
      },
    ),
    "images.remove": verb(z.strictObject({ kind, id, markedDisk: id.optional() }), async (args, { signal, as }) => {
      await checkOwned(args.kind, args.id, as, signal);
      if (args.kind === "disk") await checkUnused(args.id, signal);
      await images.remove(args.kind, args.id, signal, args.markedDisk);
    }),
    "images.stat": verb(z.strictObject({ kind, id }), (args, { signal }) => images.stat(args.kind, args.id, signal)),
    "images.list": verb(z.strictObject({}), (_, { signal }) => images.list(signal)),
    "images.usage": verb(z.strictObject({}), (_, { signal }) => images.usage(signal)),
    "images.backing": verb(z.strictObject({ disk: id }), ({ disk }) => images.backing(disk)),
    "exchange.exportFile": verb(fileExport, (args, { signal, progress }) =>
      exchange.exportFile(args as FileExport, progress, signal),
    ),
    "exchange.removeExport": verb(fileExport.pick({ id: true, path: true }), (args, { signal }) =>
      exchange.removeExport(args, signal),
    ),
    "exchange.applyIncrement": verb(increment, (args, { signal, progress }) =>
      exchange.applyIncrement(args, progress, signal),
    ),
    "exchange.endIncrement": verb(increment.pick({ image: true }), (args, { signal }) =>
      exchange.endIncrement(args, signal),
    ),
    "exchange.adoptRbd": verb(adoption, (args, { signal }) => exchange.adoptRbd(args, signal)),
    "exchange.endAdoption": verb(adoption, (args, { signal }) => exchange.endAdoption(args, signal)),
    "exchange.publishRbd": verb(publication, (args, { signal, progress }) =>
      exchange.publishRbd(args, progress, signal),
    ),
    "exchange.unpublishRbd": verb(publication.omit({ image: true }), (args, { signal }) =>
      exchange.unpublishRbd(args, signal),
    ),
    "space.largest": verb(z.strictObject({ limit: z.number().int().min(1).max(100_000) }), ({ limit }, { signal }) =>
      space.largest(limit, signal),
    ),
    "space.keepBallast": verb(z.strictObject({}), (_, { signal }) => space.keepBallast(signal)),
    "space.releaseBallast": verb(z.strictObject({}), (_, { signal }) => space.releaseBallast(signal)),
    "space.allocateFile": verb(z.strictObject({ sizeBytes }), (args, { signal, progress }) =>
      space.allocateFile(args.sizeBytes, progress, signal),
    ),
    "space.trimFile": verb(z.strictObject({ sizeBytes }), (args, { signal }) => space.trimFile(args.sizeBytes, signal)),
    "space.growFilesystem": verb(z.strictObject({}), (_, { signal }) => space.growFilesystem(signal)),
    "catalogue.describe": verb(
      z.strictObject({ description: descriptionSchema, takenFrom: id.optional() }),
      ({ description, takenFrom }, { signal }) => catalogue.describe(description, takenFrom, signal),
    ),
    "catalogue.clear": verb(z.strictObject({ leftover: z.string().max(255) }), ({ leftover }, { signal }) =>
      catalogue.clear(leftover, signal),
    ),
    "catalogue.owner": verb(z.strictObject({ kind, id }), (args, { signal }) =>
      catalogue.owner(args.kind, args.id, signal),
    ),
    "catalogue.survey": verb(z.strictObject({}), (_, { signal }) => catalogue.survey(signal)),
    "leases.take": verb(
      z.strictObject({ name: leaseName, holder: id, seconds: z.number().int().min(1).max(3600) }),
      ({ name, holder, seconds }, { signal }) => leases.take(name, holder, seconds, signal),
    ),
    "leases.giveBack": verb(z.strictObject({ name: leaseName, holder: id }), ({ name, holder }, { signal }) =>
      leases.giveBack(name, holder, signal),
    ),
    "leases.holder": verb(z.strictObject({ name: leaseName }), ({ name }, { signal }) => leases.holder(name, signal)),
    "targets.ensure": verb(z.strictObject({ control, target }), (args, { signal }) =>
      targets.ensureTarget(args.control, args.target as TargetSpec, signal),
    ),
    "targets.remove": verb(z.strictObject({ control, iqn }), (args, { signal }) =>
      targets.removeTarget(args.control, args.iqn, signal),
    ),
    "targets.cut": verb(
      z.strictObject({ control, iqn, sessions: z.array(z.string().regex(/^\d{1,20}$/)).max(1024) }),
      (args, { signal }) => targets.cutSessions(args.control, args.iqn, args.sessions, signal),
    ),
    "targets.list": verb(z.strictObject({ control }), (args, { signal }) => targets.list(args.control, signal)),
    "targets.portals": verb(
      z.strictObject({ control, portals: z.array(portal).max(64), served: z.array(iqn).max(4096) }),
      (args, { signal }) => targets.ensurePortals(args.control, args.portals as Portal[], args.served, signal),
    ),
  } satisfies Record<string, Verb>;
}

export type VerbName = keyof ReturnType<typeof storageVerbs>;

/** Throws IN_USE while a target serves this disk. */
export type DiskCheck = (disk: string, signal: AbortSignal) => Promise<void>;

function verb<S extends z.ZodType>(schema: S, run: (args: z.output<S>, call: Call) => Promise<unknown>): Verb {
  return { run: (args, call) => run(schema.parse(args), call) };
}
