import type { Caller } from "./caller.ts";

/** What a request shows of who sends it. `x-auth-token`: a token of keystone's, in the header of that name. */
export type Credentials =
  | { scheme: "bearer"; token: string }
  | { scheme: "basic"; user: string; password: string }
  | { scheme: "x-auth-token"; token: string };

/** Somebody who knows callers by their credentials. */
export interface Authenticator {
  readonly name: NonNullable<Caller["authenticator"]>;
  /** Whether credentials of this kind are its to judge. Nobody else is shown them then. */
  judges(credentials: Credentials): boolean;
  /** Who that is; undefined for whom it does not know. UNAVAILABLE where it can't tell now. */
  authenticate(credentials: Credentials): Promise<Caller | undefined>;
}

/** One that asks somebody else. */
export interface ForeignAuthenticator extends Authenticator {
  /** Asks whether callers could be told now, and answers by whom. UNAVAILABLE, with the reason, where not. */
  probe(signal: AbortSignal): Promise<string>;
}
