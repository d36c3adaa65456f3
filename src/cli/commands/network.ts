import type { Command } from "commander";
import type { Discovered, Lease } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { formatAgo } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

/** `ingot lease list` and `ingot discovered`. */
export function addNetworkCommands(program: Command, open: Open): void {
  program
    .command("lease")
    .description("addresses on the provisioning networks")
    .command("list")
    .description("given out, pinned or quarantined")
    .addHelpText("after", examples("ingot lease list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      session.answerTable(await session.api.get<Lease[]>("/v1/leases"), LEASE_COLUMNS, "no leases");
    });

  program
    .command("discovered")
    .description("machines that asked for an address and are no nodes yet")
    .addHelpText("after", examples("ingot discovered"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      session.answerTable(await session.api.get<Discovered[]>("/v1/discovered"), DISCOVERED_COLUMNS, "none was seen");
    });
}

const LEASE_COLUMNS: Column<Lease>[] = [
  { title: "ADDRESS", show: ({ address }) => address },
  { title: "MAC", show: ({ mac }) => mac },
  { title: "NODE", show: ({ node, hostname }) => node ?? (hostname ? `(${hostname})` : "-"), cut: "end" },
  { title: "NETWORK", show: ({ network }) => network, cut: "end" },
  { title: "STATE", show: ({ state }) => state },
  { title: "ENDS", show: ({ expiresAt }) => (expiresAt ? formatAgo(expiresAt) : "never") },
];

const DISCOVERED_COLUMNS: Column<Discovered>[] = [
  { title: "MAC", show: ({ mac }) => mac },
  { title: "NETWORK", show: ({ network }) => network ?? "", cut: "end" },
  { title: "ADDRESS", show: ({ address }) => address ?? "" },
  { title: "FIRMWARE", show: ({ firmware }) => firmware ?? "" },
  { title: "SEEN", show: ({ lastSeenAt }) => formatAgo(lastSeenAt) },
  { title: "VENDOR CLASS", show: ({ vendorClass }) => vendorClass ?? "", cut: "end" },
];
