import type { MiddlewareHandler } from "hono";
import type { Clock } from "../../clock.ts";
import type { Quota } from "../../net/quota.ts";
import { type BootHttp, sourceAddress } from "./source-address.ts";

/**
 * Answers a request that came before the answer to the one before it on its connection with 503, and closes the
 * connection then (RFC 9112 9.3.2 lets a client ask again). Node would begin them all at once: a few kilobytes of
 * pipelined requests would open a thousand files.
 */
export function oneAtATime(): MiddlewareHandler<BootHttp> {
  return async (context, next) => {
    // Node gives an answer its socket when it is its turn.
    if (context.env.outgoing.socket !== null) return next();
    return context.text("one request at a time\n", 503, { Connection: "close" });
  };
}

/** Answers an address that asks more often than the quota allows with 429, and writes no log. */
export function quotaPerAddress(quota: Quota, clock: Clock): MiddlewareHandler<BootHttp> {
  return async (context, next) => {
    if (quota.take(sourceAddress(context), clock.now())) return next();
    return context.text("too many requests: wait a little\n", 429, { "Retry-After": "10" });
  };
}
