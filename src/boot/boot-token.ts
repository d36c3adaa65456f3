import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Mac } from "../values/mac.ts";

/** A token is good in the hour in which it was made and in the next one. */
const PERIOD_MS = 60 * 60 * 1000;
const TOKEN_BYTES = 16;

/** Makes and knows boot tokens. */
export type BootTokens = {
  issue(mac: Mac, network: string): string;
  fits(token: string, mac: Mac, network: string): boolean;
};

/**
 * Boot tokens tell a machine whose address can't be looked up, behind a router: it carries in its script's URL what only
 * our DHCP answer to it can have told. Nothing is kept: a token is the HMAC of machine, network and hour, so that it
 * outlives a restart between answer and request. `key` has 32 bytes and never leaves the state directory.
 */
export function createBootTokens(key: Buffer, clock: Clock): BootTokens {
  const make = (mac: Mac, network: string, period: number) =>
    createHmac("sha256", key).update(`${period} ${mac} ${network}`).digest().subarray(0, TOKEN_BYTES);
  const now = () => Math.floor(clock.now() / PERIOD_MS);
  return {
    issue: (mac, network) => make(mac, network, now()).toString("base64url"),
    fits(token, mac, network) {
      const given = Buffer.from(token, "base64url");
      if (given.length !== TOKEN_BYTES) return false;
      return [now(), now() - 1].some((period) => timingSafeEqual(given, make(mac, network, period)));
    },
  };
}
