import type { Ipv4 } from "../values/ipv4.ts";

/**
 * How sending a file ended.
 * - `complete`: the client has all of it.
 * - `unconfirmed`: all was sent, the last acknowledgement never came; firmware often jumps into its loader that fast.
 * - `size-query`: the client asked for the size alone. UEFI and PXE ROMs do so before the real download.
 * - `aborted`: the client broke off. `timeout`: it fell silent. `failed`: the file or a socket broke on our side.
 * - `refused`: it never began; `reason` says why.
 */
export type FileTransferOutcome =
  | "complete"
  | "unconfirmed"
  | "size-query"
  | "aborted"
  | "timeout"
  | "failed"
  | "refused";

/** One file asked for by a booting machine, over TFTP or HTTP. */
export type FileTransfer = {
  client: Ipv4;
  /** As the client named it. */
  file: string;
  /** Payload bytes that arrived, as far as the protocol tells. */
  bytes: number;
  seconds: number;
  /** Blocks sent more than once; always 0 for HTTP. */
  retransmissions: number;
  outcome: FileTransferOutcome;
  /** Why, unless complete. */
  reason?: string;
};

/** Takes finished transfers. Must return at once and never throw. */
export type FileTransferSink = (transfer: FileTransfer) => void;
