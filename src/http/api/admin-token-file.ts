import { createHash, timingSafeEqual } from "node:crypto";
import { open } from "node:fs/promises";
import type { Authenticator, Credentials } from "../../access/authenticator.ts";
import type { Caller } from "../../access/caller.ts";
import { ApplianceError } from "../../errors.ts";

/** Shorter ones can be guessed. */
const FEWEST_LETTERS = 16;
const ADMIN: Caller = { name: "token:admin", grants: [{ role: "admin" }] };

/** Knows the admin by the token in a file; only its digest is kept. */
export class AdminTokenFile implements Authenticator {
  readonly name = "local";
  readonly #digest: Buffer;

  private constructor(token: string) {
    this.#digest = digestOf(token);
  }

  /** INVALID when the file can't be read, may be read by others, or its token is too short to be safe. */
  static async read(path: string): Promise<AdminTokenFile> {
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
      return new AdminTokenFile(text);
    } finally {
      await file.close();
    }
  }

  /** Its own token alone: others are for others to judge. */
  judges(credentials: Credentials): boolean {
    // equally long digests, compared in constant time
    return credentials.scheme === "bearer" && timingSafeEqual(digestOf(credentials.token), this.#digest);
  }

  async authenticate(credentials: Credentials): Promise<Caller | undefined> {
    return this.judges(credentials) ? ADMIN : undefined;
  }
}

function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
