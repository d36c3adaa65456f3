import type { MiddlewareHandler } from "hono";
import type { FileTransferSink } from "../../boot/file-transfer.ts";
import type { Clock } from "../../clock.ts";
import { type BootHttp, sourceAddress } from "./source-address.ts";

export type AssetFetchParts = {
  /** Told of every whole file that was sent. */
  onTransfer: FileTransferSink;
  clock: Clock;
};

/** Reports each file that a machine fetched whole, when its last byte has left. */
export function assetFetches({ onTransfer, clock }: AssetFetchParts): MiddlewareHandler<BootHttp> {
  return async (context, next) => {
    if (context.req.method !== "GET") return next();
    const { outgoing } = context.env;
    const client = sourceAddress(context);
    const file = decodeURIComponent(context.req.path.replace(/^\/assets\/+/, ""));
    const began = clock.now();
    outgoing.once("finish", () => {
      // 206 is a part of a file, 304 none of it
      if (outgoing.statusCode !== 200) return;
      const bytes = Number(outgoing.getHeader("Content-Length") ?? 0);
      const seconds = (clock.now() - began) / 1000;
      onTransfer({ client, file, bytes, seconds, retransmissions: 0, outcome: "complete" });
    });
    return next();
  };
}
