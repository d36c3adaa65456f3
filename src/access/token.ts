import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Grant } from "./caller.ts";

/** A token that opens the API, without what opens it. Collection "tokens", keyed by id. */
export type TokenRecord = {
  id: string;
  /** What it is for, as people call it. */
  name: string;
  /** The person who made it for themselves: it holds no more than they do, and goes with them. */
  user?: string;
  grants: Grant[];
  /** SHA-256 of its secret, in hex. The secret has 256 random bits, so that a slow digest would add nothing. */
  digest: string;
  createdAt: number;
  /** Worthless from then on. */
  expiresAt?: number;
  requestedBy: string;
};

const SECRET_BYTES = 32;
const SHAPE = /^(tok-[0-9a-z]{12})\.([A-Za-z0-9_-]{43})$/;

/** What opens the API in the name of a token, to be shown once: its id, a dot, and the secret. */
export function newSecret(id: string): { text: string; digest: string } {
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  return { text: `${id}.${secret}`, digest: digestOf(secret) };
}

/** The id of the token that a text claims to be, undefined for what is none. */
export function tokenId(text: string): string | undefined {
  return SHAPE.exec(text)?.[1];
}

/** Whether this text opens the API in the name of this token. Takes as long, whatever is wrong with it. */
export function opens(text: string, { digest }: Pick<TokenRecord, "digest">): boolean {
  const secret = SHAPE.exec(text)?.[2] ?? "";
  return timingSafeEqual(Buffer.from(digestOf(secret), "hex"), Buffer.from(digest, "hex"));
}

function digestOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
