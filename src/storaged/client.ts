import type { ImageExchange } from "../drivers/images/image-exchange.ts";
import type { ImageStore } from "../drivers/images/image-store.ts";
import type { PoolCatalogue } from "../drivers/images/pool-catalogue.ts";
import type { PoolLeases } from "../drivers/images/pool-leases.ts";
import type { PoolSpace } from "../drivers/images/pool-space.ts";
import type { TargetServer } from "../drivers/targets/target-server.ts";
import { type CallStorage, createCaller, type StreamStorage } from "./caller.ts";
import type { StorageDrivers } from "./verbs.ts";

/** The drivers, as ingot-storaged runs them. */
export type StorageClient = StorageDrivers & {
  /** Ends the connection; calls under way fail. */
  close(): void;
};

/**
 * Drivers that run in ingot-storaged, behind the unix socket at `path`. Connects at the first call, and again by
 * itself. `as`: the appliance that it works for: what belongs to another one is not changed (CONFLICT).
 * Beside the drivers' own errors, calls fail with UNAVAILABLE (retryable) when storaged is not back within `waitMs`, or
 * goes away during the call: then nobody knows whether it was carried out, and the caller repeats it.
 */
export function createStorageClient(path: string, options: { waitMs?: number; as?: string } = {}): StorageClient {
  const { call, stream, close } = createCaller(path, options.waitMs ?? 3000, options.as);
  return { ...storageDrivers(call, stream), close };
}

/** The drivers, each of whose verbs is a call. */
export function storageDrivers(call: CallStorage, stream: StreamStorage): StorageDrivers {
  return {
    images: imageStore(call, stream),
    space: poolSpace(call),
    catalogue: poolCatalogue(call),
    leases: poolLeases(call),
    exchange: imageExchange(call),
    targets: targetServer(call),
  };
}

function imageStore(call: CallStorage, stream: StreamStorage): ImageStore {
  return {
    import: (request, progress, signal) => call("images.import", request, signal, progress),
    read: (request, signal) => stream("images.read", request, signal),
    layout: (image, signal) => call("images.layout", { image }, signal),
    clone: (image, disk, signal, sizeBytes) => call("images.clone", { image, disk, sizeBytes }, signal),
    create: (disk, sizeBytes, signal) => call("images.create", { disk, sizeBytes }, signal),
    snapshot: (disk, image, signal) => call("images.snapshot", { disk, image }, signal),
    copy: (image, copy, signal) => call("images.copy", { image, copy }, signal),
    setAside: (disk, image, signal) => call("images.setAside", { image, disk }, signal),
    revert: (disk, image, signal, sizeBytes) => call("images.revert", { disk, image, sizeBytes }, signal),
    flatten: (request, progress, signal) => call("images.flatten", request, signal, progress),
    limit: (disk, limits, signal) => call("images.limit", { disk, limits }, signal),
    remove: (kind, id, signal, markedDisk) => call("images.remove", { kind, id, markedDisk }, signal),
    stat: (kind, id, signal) => call("images.stat", { kind, id }, signal),
    list: (signal) => call("images.list", {}, signal),
    usage: (signal) => call("images.usage", {}, signal),
    backing: (disk) => call("images.backing", { disk }),
  };
}

function imageExchange(call: CallStorage): ImageExchange {
  return {
    exportFile: (request, progress, signal) => call("exchange.exportFile", request, signal, progress),
    removeExport: ({ id, path }, signal) => call("exchange.removeExport", { id, path }, signal),
    applyIncrement: (request, progress, signal) => call("exchange.applyIncrement", request, signal, progress),
    endIncrement: ({ image }, signal) => call("exchange.endIncrement", { image }, signal),
    adoptRbd: (request, signal) => call("exchange.adoptRbd", request, signal),
    endAdoption: (request, signal) => call("exchange.endAdoption", request, signal),
    publishRbd: ({ id, image, target }, progress, signal) =>
      call("exchange.publishRbd", { id, image, target }, signal, progress),
    unpublishRbd: ({ id, target }, signal) => call("exchange.unpublishRbd", { id, target }, signal),
  };
}

function poolSpace(call: CallStorage): PoolSpace {
  return {
    largest: (limit, signal) => call("space.largest", { limit }, signal),
    keepBallast: (signal) => call("space.keepBallast", {}, signal),
    releaseBallast: (signal) => call("space.releaseBallast", {}, signal),
    allocateFile: (sizeBytes, progress, signal) => call("space.allocateFile", { sizeBytes }, signal, progress),
    trimFile: (sizeBytes, signal) => call("space.trimFile", { sizeBytes }, signal),
    growFilesystem: (signal) => call("space.growFilesystem", {}, signal),
  };
}

function poolCatalogue(call: CallStorage): PoolCatalogue {
  return {
    describe: (description, takenFrom, signal) => call("catalogue.describe", { description, takenFrom }, signal),
    clear: (leftover, signal) => call("catalogue.clear", { leftover }, signal),
    owner: (kind, id, signal) => call("catalogue.owner", { kind, id }, signal),
    survey: (signal) => call("catalogue.survey", {}, signal),
  };
}

function poolLeases(call: CallStorage): PoolLeases {
  return {
    take: (name, holder, seconds, signal) => call("leases.take", { name, holder, seconds }, signal),
    giveBack: (name, holder, signal) => call("leases.giveBack", { name, holder }, signal),
    holder: (name, signal) => call("leases.holder", { name }, signal),
  };
}

function targetServer(call: CallStorage): TargetServer {
  return {
    ensureTarget: (control, target, signal) => call("targets.ensure", { control, target }, signal),
    removeTarget: (control, iqn, signal) => call("targets.remove", { control, iqn }, signal),
    cutSessions: (control, iqn, sessions, signal) => call("targets.cut", { control, iqn, sessions }, signal),
    list: (control, signal) => call("targets.list", { control }, signal),
    ensurePortals: (control, portals, served, signal) => call("targets.portals", { control, portals, served }, signal),
  };
}
