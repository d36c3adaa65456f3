import { ApplianceError } from "../errors.ts";
import { passBytes } from "../net/pass-bytes.ts";
import type { Change } from "../store/records.ts";
import { newId } from "../values/id.ts";
import type { Compression, ImageFormat } from "../values/image-format.ts";
import type { Appliance } from "./appliance.ts";
import { checkImageSize, findUploadImport, importUpload } from "./import-image.ts";
import type { OperationRecord } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota } from "./quota.ts";
import { untilAborted } from "./until-aborted.ts";

/** What an upload will become, as its first request said. */
export type UploadRequest = {
  project: string;
  name: string;
  format: ImageFormat;
  compression: Compression;
  /** Of the file as it is sent, hex. */
  sha256?: string;
  /** When the file was last changed, as its sender knows it (RFC 3339). */
  modifiedAt?: string;
  /** Undefined: whoever sends it does not know either, until all of it is here. */
  sizeBytes?: number;
  phonesHome: boolean;
};

/** An upload that is not whole yet, or not imported. Collection "uploads", keyed by the id that its image will have. */
export type UploadRecord = UploadRequest & { id: string; createdAt: number; requestedBy: string };

/** How far an upload is. */
export type UploadState = { upload: UploadRecord; receivedBytes: number; expiresAt: number };

/** Bytes of a request, and where in the file they belong. */
export type Piece = { from: number; body: AsyncIterable<Uint8Array> };

const SWEEP_MS = 600_000;
/** For so long a sender may not have heard that its upload was imported: longer than a restart takes. */
const ASKED_AGAIN_MS = 120_000;

/** Images that are being uploaded. An upload outlives its connection and this process; one that nobody goes on with expires. */
export class Uploads {
  readonly #appliance: Appliance;
  readonly #writers = new Map<string, { stop: AbortController; ended: Promise<unknown> }>();
  readonly #stop = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();

  constructor(appliance: Appliance) {
    this.#appliance = appliance;
  }

  /** All uploads of a project, oldest first. */
  async list(project: string): Promise<UploadState[]> {
    const uploads = this.#all().filter((one) => one.project === project);
    return Promise.all(uploads.sort((a, b) => a.createdAt - b.createdAt).map((one) => this.#state(one)));
  }

  /** The upload of this name; NOT_FOUND otherwise. */
  async get(project: string, name: string): Promise<UploadState> {
    return this.#state(this.#get(project, name));
  }

  /**
   * Begins an upload, or finds the one that the same request began. EXISTS when an image has the name, CONFLICT when an
   * upload of that name was begun as something else, POOL_FULL, QUOTA, INVALID; NOT_FOUND for a project
   * that is gone.
   */
  async begin(request: UploadRequest, requestedBy: string): Promise<UploadState> {
    const { project, name, sizeBytes } = request;
    const begun = this.#find(project, name);
    if (begun) {
      this.#checkSame(begun, request);
      return this.#state(begun);
    }
    const { incoming, images, projects, records, clock } = this.#appliance;
    images.checkNewName(project, name);
    checkQuota(this.#appliance, project, { images: 1 });
    await checkPoolOpen(this.#appliance);
    const upload: UploadRecord = { ...request, id: newId("img"), createdAt: clock.now(), requestedBy };
    await incoming.promise(upload.id, sizeBytes ?? 0);
    try {
      if (this.#find(project, name)) throw busy(name);
      // it may have been removed meanwhile
      projects.get(project);
      await records.commit([{ collection: "uploads", key: upload.id, value: upload }]);
    } catch (error) {
      await incoming.remove(upload.id);
      throw error;
    }
    return this.#state(upload);
  }

  /**
   * The import that such an upload has become, while it runs and shortly after: whoever did not hear of it may ask again.
   */
  importOf(request: UploadRequest): OperationRecord | undefined {
    const operation = findUploadImport(this.#appliance, request);
    const { endedAt = Number.POSITIVE_INFINITY, state } = operation ?? {};
    const isKnown = state === "running" || (state === "done" && endedAt > this.#appliance.clock.now() - ASKED_AGAIN_MS);
    return isKnown ? operation : undefined;
  }

  /**
   * Takes bytes in, and answers how far the upload is then; who sent before on another connection is cut off. CONFLICT
   * when they do not follow what has arrived, INVALID for more than the file has. What came before a failure stays.
   */
  async receive(project: string, name: string, piece: Piece): Promise<UploadState> {
    return this.#alone(project, name, async (upload, signal) => {
      await this.#write(upload, piece, signal);
      return this.#state(upload);
    });
  }

  /**
   * Takes an upload of unknown length in, which ends where its body does, and begins its import. It can't be gone on with:
   * what came before a failure is dropped. INVALID when nothing comes, or more than an image may have; POOL_FULL; CONFLICT
   * when it was given up, or another connection took it over, before the import began.
   */
  receiveAll(project: string, name: string, body: Piece["body"], requestedBy: string): Promise<OperationRecord> {
    return this.#alone(project, name, async (upload, signal) => {
      try {
        await this.#write(upload, { from: 0, body }, signal);
        const sizeBytes = await this.#appliance.incoming.receivedBytes(upload.id);
        if (sizeBytes === 0) throw empty();
        await this.#appliance.incoming.promise(upload.id, sizeBytes);
        return await this.#import(upload, sizeBytes, requestedBy, signal);
      } catch (error) {
        // whoever cut it off has it now
        if (!signal.aborted) await this.#forget(upload);
        throw error;
      }
    });
  }

  /** Begins the import of an upload that is whole; nobody sends meanwhile. CONFLICT when it is not, or was given up. */
  finish(project: string, name: string, requestedBy: string): Promise<OperationRecord> {
    return this.#alone(project, name, async (upload) => {
      const receivedBytes = await this.#appliance.incoming.receivedBytes(upload.id);
      const { sizeBytes } = upload;
      if (sizeBytes === undefined || receivedBytes !== sizeBytes) throw notWhole(upload, receivedBytes);
      return this.#import(upload, sizeBytes, requestedBy);
    });
  }

  /** Gives an upload up, and all of it that has arrived; what the disk won't remove goes with a later look. */
  async remove(project: string, name: string): Promise<void> {
    await this.#drop([this.#get(project, name)]);
  }

  /** Makes these changes, and with them gives all uploads of a project up; whoever sends one is cut off. */
  async removeAll(project: string, changes: Change[]): Promise<void> {
    await this.#drop(
      this.#all().filter((one) => one.project === project),
      { changes },
    );
  }

  /**
   * Finds the room that uploads were promised before a restart, and looks from time to time for what was abandoned. Those
   * that broke off then and can't be gone on with are dropped.
   */
  async start(): Promise<void> {
    for (const upload of this.#all()) {
      const { id, name, sizeBytes } = upload;
      const found = sizeBytes === undefined ? this.#forget(upload) : this.#appliance.incoming.promise(id, sizeBytes);
      await found.catch((error) => {
        const what = sizeBytes === undefined ? "upload that broke off can't be dropped" : "upload has no room";
        this.#appliance.log.warn({ component: "uploads", image: name, reason: error.message }, what);
      });
    }
    this.#sweeping = this.#keepSweeping();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const id of [...this.#writers.keys()]) await this.#cutOff(id);
    await this.#sweeping;
  }

  /** Drops uploads that have expired, and files that nothing knows any more. */
  async sweep(): Promise<void> {
    const { incoming, clock, config, runner, log } = this.#appliance;
    for (const upload of this.#all()) {
      // who says how much will come sends or is cut off; a pipe may be silent
      if (upload.sizeBytes !== undefined && this.#writers.has(upload.id)) continue;
      if ((await this.#state(upload)).expiresAt > clock.now() || !this.#records().get(upload.id)) continue;
      log.info({ component: "uploads", image: upload.name, requestedBy: upload.requestedBy }, "upload expired");
      await this.#drop([upload], { reason: expired(config.pool.incoming.expireSeconds) });
    }
    for (const id of await incoming.list()) {
      if (!this.#records().get(id) && runner.holder(id) === undefined) await incoming.remove(id);
    }
  }

  async #keepSweeping(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.sweep().catch((error) => {
        this.#appliance.log.warn({ component: "uploads", reason: error.message }, "can't look for abandoned uploads");
      });
      await this.#appliance.clock.sleep(SWEEP_MS, this.#stop.signal).catch(() => {});
    }
  }

  async #write(upload: UploadRecord, { from, body }: Piece, signal: AbortSignal): Promise<void> {
    const { incoming } = this.#appliance;
    const file = await incoming.open(upload.id, from === 0 ? "w" : "r+");
    if (!file) throw elsewhere(0);
    let position = await file.sizeBytes();
    try {
      if (position !== from) throw elsewhere(position);
      for await (const piece of untilAborted(body, signal)) {
        await this.#checkLength(upload, position + piece.length);
        await file.append(piece, position);
        position += piece.length;
        passBytes(piece.length);
      }
    } finally {
      await file.close();
    }
    // all of it is synced then: there was time enough to give it up
    signal.throwIfAborted();
  }

  /** Begins the import of one that is whole; CONFLICT, or what the signal says, when it was given up until that moment. */
  async #import(upload: UploadRecord, sizeBytes: number, requestedBy: string, signal?: AbortSignal) {
    await checkPoolOpen(this.#appliance);
    signal?.throwIfAborted();
    if (!this.#records().get(upload.id)) throw takenAway();
    return importUpload(this.#appliance, { ...upload, sizeBytes }, requestedBy);
  }

  async #checkLength({ id, sizeBytes }: UploadRecord, bytes: number): Promise<void> {
    const { incoming, config } = this.#appliance;
    if (sizeBytes === undefined) {
      checkImageSize(config, "body", bytes);
      await incoming.grow(id, bytes);
    } else if (bytes > sizeBytes) throw tooLong(sizeBytes);
  }

  /** Does what nobody else may do with the same upload meanwhile; whoever is at it is cut off first. NOT_FOUND when it is gone. */
  async #alone<T>(
    project: string,
    name: string,
    work: (upload: UploadRecord, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    let upload = this.#get(project, name);
    // others may have waited as well
    while (this.#writers.has(upload.id)) {
      await this.#cutOff(upload.id);
      upload = this.#get(project, name);
    }
    const { id } = upload;
    const stop = new AbortController();
    const working = work(upload, stop.signal).finally(() => this.#writers.delete(id));
    this.#writers.set(id, { stop, ended: working.catch(() => {}) });
    return working;
  }

  async #cutOff(id: string, reason = takenAway()): Promise<void> {
    const writer = this.#writers.get(id);
    if (!writer) return;
    writer.stop.abort(reason);
    await writer.ended;
  }

  async #drop(
    uploads: UploadRecord[],
    { changes = [], reason }: { changes?: Change[]; reason?: ApplianceError } = {},
  ): Promise<void> {
    const dropped = uploads.map(({ id }) => ({ collection: "uploads", key: id, value: null }));
    // nobody begins to write any more, then nobody does
    await this.#appliance.records.commit([...changes, ...dropped]);
    await Promise.all(uploads.map(({ id }) => this.#cutOff(id, reason)));
    for (const one of uploads) await this.#clear(one);
  }

  /** Drops one that nobody else writes. */
  async #forget(upload: UploadRecord): Promise<void> {
    await this.#appliance.records.commit([{ collection: "uploads", key: upload.id, value: null }]);
    await this.#clear(upload);
  }

  /** Removes what arrived of one that is given up; where the disk refuses, a later look for what nobody knows does. */
  async #clear({ id, name }: UploadRecord): Promise<void> {
    await this.#appliance.incoming.remove(id).catch((error) => {
      const facts = { component: "uploads", image: name, reason: error.message };
      this.#appliance.log.warn(facts, "what arrived of an upload can't be removed yet");
    });
  }

  async #state(upload: UploadRecord): Promise<UploadState> {
    const { incoming, config } = this.#appliance;
    const [receivedBytes, arrived = upload.createdAt] = [
      await incoming.receivedBytes(upload.id),
      await incoming.lastArrival(upload.id),
    ];
    return { upload, receivedBytes, expiresAt: arrived + config.pool.incoming.expireSeconds * 1000 };
  }

  #checkSame(begun: UploadRecord, request: UploadRequest): void {
    for (const field of ["sizeBytes", "format", "compression", "sha256", "modifiedAt"] as const) {
      if (begun[field] === request[field]) continue;
      // not every sender knows
      if (field === "modifiedAt" && (begun[field] === undefined || request[field] === undefined)) continue;
      throw new ApplianceError(
        "CONFLICT",
        `${field}: the upload of ${begun.name} was begun with ${begun[field] ?? "none"}`,
        {
          details: {
            field,
            value: request[field],
            remedy: `go on with the same file, or give that upload up: ingot image upload-cancel ${begun.name}`,
          },
        },
      );
    }
  }

  #get(project: string, name: string): UploadRecord {
    const upload = this.#find(project, name);
    if (upload) return upload;
    throw new ApplianceError("NOT_FOUND", `there is no upload "${name}" in project ${project}`, {
      details: { field: "image", value: name, remedy: "ingot image uploads shows those that there are" },
    });
  }

  #find(project: string, name: string): UploadRecord | undefined {
    return this.#all().find((one) => one.project === project && one.name === name);
  }

  #all(): UploadRecord[] {
    return [...this.#records().values()];
  }

  #records() {
    return this.#appliance.records.collection<UploadRecord>("uploads");
  }
}

function takenAway(): ApplianceError {
  return new ApplianceError("CONFLICT", "upload: it goes on over another connection, or was given up");
}

function expired(seconds: number): ApplianceError {
  return new ApplianceError("TIMEOUT", `upload: nothing came for ${seconds} s`, {
    details: {
      field: "pool.incoming.expireSeconds",
      value: seconds,
      remedy: "see whether what sends it works; raise pool.incoming.expireSeconds, if it may pause for longer",
    },
  });
}

function elsewhere(receivedBytes: number): ApplianceError {
  return new ApplianceError(
    "CONFLICT",
    `Content-Range: ${receivedBytes} bytes have arrived; the next must follow them`,
    {
      details: { field: "Content-Range", value: receivedBytes, remedy: `go on with bytes ${receivedBytes}-` },
    },
  );
}

function notWhole({ name, sizeBytes }: UploadRecord, receivedBytes: number): ApplianceError {
  const of = sizeBytes ?? "more";
  return new ApplianceError("CONFLICT", `the upload of ${name} is not whole: ${receivedBytes} of ${of} bytes`, {
    details: { field: "Content-Range", value: receivedBytes, remedy: `go on with bytes ${receivedBytes}-` },
  });
}

function tooLong(sizeBytes: number): ApplianceError {
  return new ApplianceError("INVALID", `body: it has more than the ${sizeBytes} bytes that were announced`, {
    details: { field: "body", remedy: "announce the length that the file has, in Content-Range or Content-Length" },
  });
}

function empty(): ApplianceError {
  return new ApplianceError("INVALID", "body: nothing came", {
    details: { field: "body", value: 0, remedy: "an image has content: see whether what sends it works" },
  });
}

function busy(name: string): ApplianceError {
  return new ApplianceError("BUSY", `an upload of ${name} begins at this moment`, {
    details: { field: "image", value: name, remedy: "go on with that one" },
  });
}
