import type { Clock } from "../clock.ts";
import type { BootAnswers } from "./boot-answers.ts";
import type { BootEventSink } from "./boot-event.ts";
import type { FileTransferSink } from "./file-transfer.ts";

/**
 * Turns transfers on one network into events of the machine that holds the client's address: `boot-file` when all was
 * sent, and a refusal `boot-file-<outcome>` when not. Only files that are loaders by the configuration count.
 */
export function bootFileEvents(
  { answers, isLoader, clock }: { answers: BootAnswers; isLoader: (file: string) => boolean; clock: Clock },
  network: string,
  sink: BootEventSink,
): FileTransferSink {
  return ({ client, file, bytes, seconds, retransmissions, outcome }) => {
    if (outcome === "size-query") return;
    const name = file.replace(/^\/+/, "");
    const mac = answers.ownerOf(client, network);
    if (mac === undefined || !isLoader(name)) return;
    const seen = { mac, at: clock.now(), network, address: client, file: name, bytes };
    // a ROM that jumps into its loader without a last acknowledgement has it all the same
    const isThere = outcome === "complete" || outcome === "unconfirmed";
    if (isThere) sink({ ...seen, stage: "boot-file", seconds, retransmissions });
    else sink({ ...seen, stage: "refused", reason: `boot-file-${outcome}` });
  };
}
