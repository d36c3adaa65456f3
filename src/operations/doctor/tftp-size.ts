import { createSocket, type Socket } from "node:dgram";
import type { Ipv4 } from "../../values/ipv4.ts";
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpPacket } from "../../wire/tftp/packet.ts";

const PORT = 69;
const REPEAT_MS = 700;

/**
 * The size of a file, asked for as firmware does before it fetches one: a read request with `tsize` (RFC 2349), broken off
 * once that is known. Asks until the signal aborts. Rejects with what the server said, when nobody listens, or with the
 * signal's reason.
 */
export async function askTftpSize(server: Ipv4, file: string, signal: AbortSignal): Promise<number> {
  const socket = createSocket("udp4");
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = encodeTftp({ type: "read", file, mode: "octet", options: new Map([["tsize", "0"]]) });
  const knock = knockAt(server, () => reject(new Error("nobody listens")));
  const ask = () => socket.send(request, PORT, server);
  const onAbort = () => reject(signal.reason);
  socket.on("error", reject);
  socket.on("message", (bytes, from) => {
    const packet = from.address === server ? tryDecode(bytes) : undefined;
    if (!packet) return;
    if (packet.type === "error") return reject(new Error(packet.message));
    const size = packet.type === "oack" ? packet.options.get("tsize") : undefined;
    if (size === undefined) return reject(new Error("the server tells no size"));
    const enough = encodeTftp({ type: "error", code: TFTP_ERROR.undefined, message: "size known" });
    socket.send(enough, from.port, from.address, () => resolve(Number(size)));
  });
  const asking = setInterval(ask, REPEAT_MS);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) throw signal.reason;
    ask();
    return await promise;
  } finally {
    clearInterval(asking);
    signal.removeEventListener("abort", onAbort);
    socket.close();
    knock.close();
  }
}

function tryDecode(bytes: Buffer): TftpPacket | undefined {
  try {
    return decodeTftp(bytes);
  } catch {
    return undefined;
  }
}

/** Answers come from another port, so the socket that waits for them can't be connected, and only a connected one hears ICMP. */
function knockAt(server: Ipv4, onClosed: () => void): Socket {
  const socket = createSocket("udp4");
  socket.on("error", onClosed);
  // without a way there, it is not connected, and has nobody to send to
  socket.connect(PORT, server, (error?: Error) => (error ? onClosed() : socket.send(Buffer.alloc(1))));
  return socket;
}
