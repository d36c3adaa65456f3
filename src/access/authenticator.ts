import type { Caller } from "./caller.ts";

/** What a request shows of who sends it. */
export type Credentials = { scheme: "bearer"; token: string } | { scheme: "basic"; user: string; password: string };

/** Somebody who knows callers by their credentials. */
export interface Authenticator {
  /** Who that is; undefined for whom it does not know. UNAVAILABLE where it can't tell now. */
  authenticate(credentials: Credentials): Promise<Caller | undefined>;
}
