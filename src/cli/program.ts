import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addAccessCommands } from "./commands/access.ts";
import { addAuditCommands } from "./commands/audit.ts";
import { addCatalogueCommands } from "./commands/catalogue.ts";
import { addConsoleCommand } from "./commands/console.ts";
import { addDiskCommands } from "./commands/disk.ts";
import { addImageCommands } from "./commands/image.ts";
import { addImageExchangeCommands } from "./commands/image-exchange.ts";
import { addImageRecordCommands } from "./commands/image-record.ts";
import { addNetworkCommands } from "./commands/network.ts";
import { addNodeCommands } from "./commands/node.ts";
import { addOperationCommands } from "./commands/operation.ts";
import { addPoolCommands } from "./commands/pool.ts";
import { addProjectCommands } from "./commands/project.ts";
import { addProvisionCommands } from "./commands/provision.ts";
import { addQuotaCommands } from "./commands/quota.ts";
import { addSystemCommands } from "./commands/system.ts";
import { addTenantNetworkCommands } from "./commands/tenant-network.ts";
import { addUsageCommands } from "./commands/usage.ts";
import { EXIT_CODES } from "./exit-codes.ts";
import { Session } from "./session.ts";
import type { Terminal } from "./terminal.ts";

/** The whole command line. Errors are thrown, help is written to the terminal; nothing exits. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command("ingot")
    .description("make bare-metal machines boot clones of golden images")
    .option("--socket <path>", "the appliance's unix socket (INGOT_SOCKET, /run/ingot/api.sock)")
    .option("--url <url>", "the appliance's TCP listener instead; needs a token")
    .option("--token-file <file>", "file with the token for --url (or INGOT_TOKEN)")
    .option("--project <name>", "whose nodes, images and disks (INGOT_PROJECT, default)")
    .option("--json", "answer as the API does")
    .version(readVersion(), "--version", "the version of this command line")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .configureHelp({ helpWidth: terminal.columns, showGlobalOptions: true })
    .addHelpText(
      "after",
      `
First steps:
  $ ingot doctor
  $ ingot image import debian --file /var/lib/ingot-import/debian.qcow2 --format qcow2
  $ ingot node add node-1 --mac 52:54:00:12:34:56 --network prov --firmware uefi
  $ ingot provision node-1 --image debian
  $ ingot node timeline node-1

${EXIT_CODES}`,
    );
  const open = (command: Command) => new Session(command, terminal);
  addProvisionCommands(program, open);
  addNodeCommands(program, open);
  addConsoleCommand(program, open);
  addImageCommands(program, open);
  addImageRecordCommands(program, open);
  addImageExchangeCommands(program, open);
  addDiskCommands(program, open);
  addPoolCommands(program, open);
  addOperationCommands(program, open);
  addNetworkCommands(program, open);
  addTenantNetworkCommands(program, open);
  addProjectCommands(program, open);
  addCatalogueCommands(program, open);
  addQuotaCommands(program, open);
  addAccessCommands(program, open);
  addAuditCommands(program, open);
  addUsageCommands(program, open);
  addSystemCommands(program, open);
  return program;
}

function readVersion(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}
