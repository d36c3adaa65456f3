import { createReadStream, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { ApplianceError, isApplianceError } from "../errors.ts";
import type { Operation, Upload } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";

/** Since a connection broke, for so long nothing may get through: the appliance may restart meanwhile. */
const PATIENCE_MS = 60_000;
/** What connections on the way may hold: only what follows so much has got through. */
const HELD_BYTES = 8 * 1024 * 1024;
const PAUSE_MS = 1000;
/** A piece a request: progress is certain then, and a proxy on the way is not tried too hard. */
const PIECE_BYTES = 256 * 1024 * 1024;

export type UploadSource = {
  /** Of the API, where the content goes. */
  path: string;
  file: string;
  /** What the API's query takes: format, compression, sha256, phonesHome. When the file was changed is told beside. */
  stated: Record<string, string>;
};

/**
 * Sends a file to the appliance, from where an earlier upload of it ended; a connection that breaks is made again.
 * Answers the import that began. Fails as the API, with INVALID for a file that can't be read, with EXISTS for an image
 * that was there before.
 */
export async function uploadFile(
  api: ApiClient,
  { path, file, stated }: UploadSource,
  progress: (doneBytes: number, totalBytes: number) => void,
): Promise<Operation> {
  const { size: sizeBytes } = await lookAt(file);
  // looked at each time: what is written to meanwhile must not be gone on with
  const query = async () => new URLSearchParams({ ...stated, modifiedAt: (await lookAt(file)).mtime.toISOString() });
  const put = (asked: URLSearchParams, range: string, body?: NodeJS.ReadableStream, length = 0) =>
    api.send<Upload | Operation>(
      `${path}?${asked}`,
      { "Content-Range": `bytes ${range}/${sizeBytes}`, "Content-Length": String(length) },
      body,
    );
  let failingSince: number | undefined;
  let [position, sent] = [0, 0];
  for (;;) {
    try {
      let answer = await put(await query(), "*");
      while ("receivedBytes" in answer) {
        if (answer.receivedBytes > position) failingSince = undefined;
        position = answer.receivedBytes;
        progress(position, sizeBytes);
        const last = Math.min(position + PIECE_BYTES, sizeBytes) - 1;
        const asked = await query();
        const piece = createReadStream(file, { start: position, end: last });
        const begun = position;
        sent = begun;
        piece.on("data", (bytes) => {
          sent += bytes.length;
          if (sent - begun > HELD_BYTES) failingSince = undefined;
          progress(sent, sizeBytes);
        });
        answer = await put(asked, `${position}-${last}`, piece, last - position + 1);
        failingSince = undefined;
      }
      const isOwn = sent > 0 || failingSince !== undefined || answer.state === "running";
      if (!isOwn) throw importedBefore();
      return answer;
    } catch (error) {
      failingSince ??= Date.now();
      if (!isApplianceError(error, "UNAVAILABLE") || Date.now() - failingSince > PATIENCE_MS) throw error;
      await pause(PAUSE_MS);
    }
  }
}

/**
 * Sends what a stream brings, to its end, and answers the import that began. It can't be gone on with: a connection that
 * breaks ends it. The stream is destroyed in the end. Fails as the API.
 */
export function uploadStream(
  api: ApiClient,
  { path, content, stated }: Omit<UploadSource, "file"> & { content: Readable },
  progress: (doneBytes: number) => void,
): Promise<Operation> {
  let sent = 0;
  content.on("data", (piece: Buffer) => {
    sent += piece.length;
    progress(sent);
  });
  return api.send<Operation>(`${path}?${new URLSearchParams(stated)}`, { "Transfer-Encoding": "chunked" }, content);
}

async function lookAt(file: string): Promise<Stats> {
  const found = await stat(file).catch((cause) => {
    throw unreadable(file, cause.code, cause);
  });
  if (!found.isFile()) throw unreadable(file, "it is no file");
  return found;
}

/** What was imported a moment ago, by another call, may be another file of the same length. */
function importedBefore(): ApplianceError {
  return new ApplianceError("EXISTS", "an upload of this name was imported a moment ago", {
    details: { field: "name", remedy: "choose another name, or remove that image first" },
  });
}

function unreadable(file: string, why: string, cause?: unknown): ApplianceError {
  return new ApplianceError("INVALID", `${file} can't be uploaded (${why})`, {
    details: { field: "file", value: file, remedy: "name a file of this machine that you may read" },
    cause,
  });
}
