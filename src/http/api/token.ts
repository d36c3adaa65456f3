import { createHash, timingSafeEqual } from "node:crypto";
import { open } from "node:fs/promises";
import { ApplianceError } from "../../errors.ts";
import type { Caller } from "./rights.ts";

/** Shorter ones can be guessed. */
const FEWEST_LETTERS = 16;

/** A token that opens the API, and whom it stands for; kept as its digest. */
export type Token = { digest: Buffer; caller: Caller };

/** The admin token of a file that nobody but its owner may read. INVALID when it is readable by others, or too short to be safe. */
export async function readToken(path: string): Promise<Token> {
  const field = "api.tokenFile";
  const refuse = (reason: string, remedy: string, cause?: unknown) =>
    new ApplianceError("INVALID", `${field}: ${path} ${reason}`, { details: { field, value: path, remedy }, cause });
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    throw refuse(`can't be read (${error.code})`, "let the user that runs ingotd own it, mode 0600", error);
  });
  try {
    // of the opened file, not of the name
    const { mode } = await file.stat();
    if (mode & 0o077) throw refuse("may be read by others", `chmod 0600 ${path}`);
    const text = (await file.readFile("utf8")).trim();
    if (text.length < FEWEST_LETTERS || /\s/.test(text)) {
      throw refuse(
        `holds no token: it takes ${FEWEST_LETTERS} letters or more, without blanks`,
        `openssl rand -hex 32 > ${path}`,
      );
    }
    return { digest: digest(text), caller: { name: "token:admin", role: "admin" } };
  } finally {
    await file.close();
  }
}

/** Whom the request's Authorization header stands for. UNAUTHENTICATED when it is not this token's. */
export function authenticate(authorization: string | undefined, token: Token | undefined): Caller {
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  // equally long digests, compared in constant time
  if (given !== undefined && token && timingSafeEqual(digest(given), token.digest)) return token.caller;
  throw new ApplianceError("UNAUTHENTICATED", given === undefined ? "a token is needed" : "the token is wrong", {
    details: { remedy: "send Authorization: Bearer with the token in api.tokenFile" },
  });
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
