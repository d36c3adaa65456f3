import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Appliance } from "../appliance.ts";
import type { UploadRecord } from "../uploads.ts";
import type { Check, Finding } from "./finding.ts";

const GIB = 1024 ** 3;
/** A small image still fits in. */
const AMPLE_BYTES = 2 * GIB;
/** What a crash left is removed by itself before that. */
const STRANGE_AFTER_MS = 3_600_000;

/** Whether the directory of uploads and fetched files can be written, is closed to others, has room, and holds nothing that nobody knows. */
export const incomingCheck: Check = {
  name: "incoming",
  run: async ({ appliance }) => {
    const { directory } = appliance.incoming;
    const about = { check: "incoming", subject: directory };
    const unusable = await whyUnusable(directory);
    if (unusable !== undefined) {
      const remedy = `install -d -o ingot -g ingot -m 0700 ${directory}, and ReadWritePaths=${directory} in a drop-in of ingot.service where it is not the default; then see that its disk is well`;
      return [{ ...about, state: "failed", message: `can't be written: ${unusable}`, remedy }];
    }
    const found = await stat(directory).catch(() => undefined);
    if (!found) return [{ ...about, state: "ok", message: "is made with the first upload" }];
    return [
      ...(await lookAtRoom(appliance, about)),
      ...lookAtMode(found.mode, about),
      ...(await lookAtPool(appliance, found.dev, about)),
      ...(await lookAtStrangers(appliance, about)),
    ];
  },
};

type About = Pick<Finding, "check" | "subject">;

async function whyUnusable(directory: string): Promise<string | undefined> {
  try {
    // with a slash at its end it must be a directory
    await access(`${directory}/`, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" && directory !== dirname(directory) ? whyUnusable(dirname(directory)) : message;
  }
}

async function lookAtRoom({ incoming, config }: Appliance, about: About): Promise<Finding[]> {
  const { directory } = incoming;
  const { freeBytes, allowedBytes } = await incoming.room();
  const { dev } = await stat(directory);
  const state = await stat(config.stateDirectory).catch(() => undefined);
  const place = state?.dev === dev ? ", on the disk of the state directory" : "";
  const message = `${gib(Math.min(freeBytes, allowedBytes))} GiB left for uploads and fetched files${place}`;
  if (Math.min(freeBytes, allowedBytes) >= AMPLE_BYTES) return [{ ...about, state: "ok", message }];
  const remedy =
    allowedBytes < freeBytes
      ? "see what is being brought in (ingot image uploads); raise pool.incoming.maxBytes, if there may be more"
      : `free space on the disk of ${directory}, or set pool.incoming.directory to one that has more`;
  return [{ ...about, state: "warning", message, remedy }];
}

function lookAtMode(mode: number, about: About): Finding[] {
  if ((mode & 0o077) === 0) return [];
  const message = `others get into it (mode ${(mode & 0o777).toString(8)}): they can read what is uploaded`;
  return [{ ...about, state: "warning", message, remedy: `chmod 700 ${about.subject}` }];
}

/** What waits there must not take what running disks were promised: no watermark looks at it. */
async function lookAtPool({ config: { pool } }: Appliance, dev: number, about: About): Promise<Finding[]> {
  const found = pool.store === "file" ? await stat(pool.directory).catch(() => undefined) : undefined;
  if (found?.dev !== dev) return [];
  const message = "lies in the pool's own file system: uploads take the room of running disks";
  return [{ ...about, state: "warning", message, remedy: "set pool.incoming.directory to a place on another disk" }];
}

async function lookAtStrangers({ incoming, records, runner, clock }: Appliance, about: About): Promise<Finding[]> {
  const uploads = records.collection<UploadRecord>("uploads");
  const isKnown = (image: string) => uploads.get(image) !== undefined || runner.holder(image) !== undefined;
  const files = await incoming.files();
  const strange = files.filter(
    ({ image, at }) => at < clock.now() - STRANGE_AFTER_MS && (image === undefined || !isKnown(image)),
  );
  if (strange.length === 0) return [];
  const bytes = strange.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const [first] = strange;
  const message = `${strange.length} files that belong to no upload take ${gib(bytes)} GiB: ${first?.name}${strange.length > 1 ? ", …" : ""}`;
  return [
    { ...about, state: "warning", message, remedy: `see what they are (ls -la ${about.subject}), and remove them` },
  ];
}

function gib(bytes: number): string {
  return (Math.max(0, bytes) / GIB).toFixed(1);
}
