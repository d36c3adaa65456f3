import type { MiddlewareHandler } from "hono";
import type { FileTransferSink } from "../../boot/file-transfer.ts";
import type { Clock } from "../../clock.ts";
import { type BootHttp, sourceAddress } from "./source-address.ts";

/** Who hears of fetched files. */
export type AssetFetchParts = {
  /** Told of every whole file that was asked for, sent or not. */
  onTransfer: FileTransferSink;
  clock: Clock;
};

/** Reports each file that a machine fetched whole, when its last byte has left, and each that it did not get. */
export function assetFetches({ onTransfer, clock }: AssetFetchParts): MiddlewareHandler<BootHttp> {
  return async (context, next) => {
    if (context.req.method !== "GET") return next();
    const { outgoing } = context.env;
    const client = sourceAddress(context);
    const file = decoded(context.req.path.replace(/^\/assets\/+/, ""));
    const began = clock.now();
    outgoing.once("close", () => {
      const { statusCode, writableFinished } = outgoing;
      const seconds = (clock.now() - began) / 1000;
      const transfer = { client, file, bytes: 0, seconds, retransmissions: 0 };
      if (statusCode >= 400) return onTransfer({ ...transfer, outcome: "refused", reason: `HTTP ${statusCode}` });
      // 206 is a part of a file, 304 none of it
      if (statusCode !== 200) return;
      if (!writableFinished) return onTransfer({ ...transfer, outcome: "aborted", reason: "the client went away" });
      onTransfer({ ...transfer, bytes: Number(outgoing.getHeader("Content-Length") ?? 0), outcome: "complete" });
    });
    return next();
  };
}

/** A name that is no UTF-8, or has a percent sign that means nothing, stays as it came: no file has it. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
