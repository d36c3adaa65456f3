import type { TftpOptions } from "./packet.ts";

/** What both sides of a transfer keep to. */
export type TransferTerms = {
  /** Payload of a full DATA packet (RFC 2348). */
  blockBytes: number;
  /** DATA packets per ACK (RFC 7440). */
  windowBlocks: number;
  /** Seconds until a retransmission, when the client asked for its own (RFC 2349). */
  timeoutSeconds: number | undefined;
  /** The OACK's content; empty when nothing was asked that we know: then no OACK is sent. */
  accepted: TftpOptions;
};

/** Without options: RFC 1350. */
const DEFAULT_BLOCK_BYTES = 512;

/** IP, UDP and TFTP headers around a payload. */
const HEADERS_BYTES = 20 + 8 + 4;

/** Most bytes in flight: above it, receive buffers of ordinary clients overflow and a window costs more than it brings. */
const MAX_WINDOW_BYTES = 128 * 1024;

/**
 * The answer to a read request's options (RFC 2347): what is understood is
 * granted or lowered, the rest is left out of the OACK. `sizeBytes` is what the
 * transfer will carry. A block is never larger than one unfragmented datagram
 * at `mtu`: boot firmware seldom reassembles, and RFC 2348 lets us go lower.
 */
export function acceptOptions(asked: TftpOptions, sizeBytes: number, mtu: number): TransferTerms {
  const accepted = new Map<string, string>();
  const terms = { blockBytes: DEFAULT_BLOCK_BYTES, windowBlocks: 1, timeoutSeconds: undefined as number | undefined };

  const blksize = number(asked.get("blksize"), 8);
  if (blksize !== undefined) {
    terms.blockBytes = Math.min(blksize, 65464, Math.max(DEFAULT_BLOCK_BYTES, mtu - HEADERS_BYTES));
  }
  const windowsize = number(asked.get("windowsize"), 1);
  if (windowsize !== undefined) {
    terms.windowBlocks = Math.max(1, Math.min(windowsize, Math.floor(MAX_WINDOW_BYTES / terms.blockBytes)));
  }
  const timeout = number(asked.get("timeout"), 1);
  // RFC 2349: the same value back, or no answer at all.
  if (timeout !== undefined && timeout <= 255) terms.timeoutSeconds = timeout;

  for (const name of asked.keys()) {
    if (name === "blksize" && blksize !== undefined) accepted.set(name, String(terms.blockBytes));
    if (name === "windowsize" && windowsize !== undefined) accepted.set(name, String(terms.windowBlocks));
    if (name === "timeout" && terms.timeoutSeconds !== undefined) accepted.set(name, String(terms.timeoutSeconds));
    if (name === "tsize") accepted.set(name, String(sizeBytes));
  }
  return { ...terms, accepted };
}

function number(text: string | undefined, least: number): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least ? value : undefined;
}
