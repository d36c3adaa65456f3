import type { Grant } from "./caller.ts";
import type { PasswordDigest } from "./password.ts";

/** A person who logs in with a password. Collection "users", keyed by name. */
export type UserRecord = {
  name: string;
  grants: Grant[];
  password: PasswordDigest;
  createdAt: number;
  requestedBy: string;
};
