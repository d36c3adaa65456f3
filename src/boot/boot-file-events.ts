import type { Clock } from "../clock.ts";
import type { BootAnswers } from "./boot-answers.ts";
import type { BootEventSink } from "./boot-event.ts";
import type { FileTransferSink } from "./file-transfer.ts";

/**
 * Turns finished transfers on one network into `boot-file` events of the machine that holds the client's address.
 * Only files that are loaders by the configuration count, and only when they were sent to the end.
 */
export function bootFileEvents(
  { answers, isLoader, clock }: { answers: BootAnswers; isLoader: (file: string) => boolean; clock: Clock },
  network: string,
  sink: BootEventSink,
): FileTransferSink {
  return ({ client, file, bytes, seconds, retransmissions, outcome }) => {
    // a ROM that jumps into its loader without a last acknowledgement has it all the same
    if (outcome !== "complete" && outcome !== "unconfirmed") return;
    const name = file.replace(/^\/+/, "");
    const mac = answers.ownerOf(client, network);
    if (mac === undefined || !isLoader(name)) return;
    const at = clock.now();
    sink({ mac, stage: "boot-file", at, network, address: client, file: name, bytes, seconds, retransmissions });
  };
}
