import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import pLimit from "p-limit";
import { ApplianceError } from "../errors.ts";

/** A password's digest by scrypt (RFC 7914), with what it takes to compute it again. All in hex. */
export type PasswordDigest = { salt: string; digest: string; cost: number };

const FEWEST_LETTERS = 10;
const MOST_BYTES = 1024;
const DIGEST_BYTES = 32;
const SALT_BYTES = 16;
/** 32 MiB and some 60 ms each. */
const COST = 32_768;
const BLOCK_SIZE = 8;

/** Off the event loop, but the thread pool is shared with the disk: one at a time, and no endless line before it. */
const turn = pLimit(1);
const LONGEST_LINE = 32;

/** The digest to keep of a new password. INVALID for one that is too short to be safe, or too long. */
export async function digestPassword(password: string): Promise<PasswordDigest> {
  if ([...password].length < FEWEST_LETTERS || Buffer.byteLength(password) > MOST_BYTES) {
    throw new ApplianceError(
      "INVALID",
      `password: it takes ${FEWEST_LETTERS} letters or more, ${MOST_BYTES} bytes at most`,
      {
        details: { field: "password", remedy: "choose another one" },
      },
    );
  }
  const salt = randomBytes(SALT_BYTES);
  return { salt: salt.toString("hex"), digest: (await compute(password, salt, COST)).toString("hex"), cost: COST };
}

/** Stands in for the digest of who is not there: that takes as long to refuse. */
const NOBODY: PasswordDigest = { salt: "00".repeat(SALT_BYTES), digest: "00".repeat(DIGEST_BYTES), cost: COST };

/** Whether this is the password of that digest; never without one. UNAVAILABLE while too many ask. */
export async function isPassword(password: string, known: PasswordDigest | undefined): Promise<boolean> {
  const { salt, digest, cost } = known ?? NOBODY;
  if (Buffer.byteLength(password) > MOST_BYTES) return false;
  const computed = await compute(password, Buffer.from(salt, "hex"), cost);
  return timingSafeEqual(computed, Buffer.from(digest, "hex")) && known !== undefined;
}

async function compute(password: string, salt: Buffer, cost: number): Promise<Buffer> {
  if (turn.pendingCount >= LONGEST_LINE) {
    throw new ApplianceError("UNAVAILABLE", "too many log in at a time", {
      details: { remedy: "try again in a few seconds; programs use a token" },
    });
  }
  const options: ScryptOptions = { N: cost, r: BLOCK_SIZE, p: 1, maxmem: 256 * cost * BLOCK_SIZE };
  return turn(
    () =>
      new Promise<Buffer>((resolve, reject) => {
        scrypt(password, salt, DIGEST_BYTES, options, (error, key) => (error ? reject(error) : resolve(key)));
      }),
  );
}
