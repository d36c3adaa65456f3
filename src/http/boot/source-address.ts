import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import type { Ipv4 } from "../../values/ipv4.ts";

export type BootHttp = { Bindings: HttpBindings };

/** The address that a request came from, as the TCP connection has it; headers tell nothing here. */
export function sourceAddress(context: Context<BootHttp>): Ipv4 {
  const address = context.env.incoming.socket.remoteAddress ?? "";
  return address.replace(/^::ffff:/, "") as Ipv4;
}
