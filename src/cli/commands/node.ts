import { resolve } from "node:path";
import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import type { Boot, Node, Operation, OperatorRequest } from "../answers.ts";
import { parseBmcUrl } from "../bmc-url.ts";
import { choice, examples, type Open } from "../command.ts";
import { path, type Session } from "../session.ts";
import { formatFacts } from "../text/facts.ts";
import { formatBytes, formatCount, formatMoment } from "../text/quantity.ts";
import { formatCauses, summarizeStall } from "../text/stall.ts";
import type { Column } from "../text/table.ts";
import { drawTimeline } from "../text/timeline.ts";
import { wrap } from "../text/wrap.ts";
import { addNodeImportCommand } from "./node-import.ts";

type Boots = NonNullable<Node["boots"]>;

type AddOptions = {
  mac: string;
  network: string;
  firmware: string;
  address?: string;
  loader?: string;
  dataMac?: string[];
  port?: string;
  isolatedAs?: string;
  bmc?: string;
  bmcPasswordFile?: string;
  bmcPasswordEnv?: string;
};

type CableOptions = { port: { mac: string; port: string | null }[]; isolatedAs?: string };

const POWER_ACTIONS = ["on", "off", "soft-off", "reset"];

/** `ingot node …` */
export function addNodeCommands(program: Command, open: Open): void {
  const node = program.command("node").description("bare-metal machines");

  node
    .command("add <name>")
    .description("register a machine")
    .requiredOption("--mac <mac>", "address of the NIC that it boots from")
    .requiredOption("--network <network>", "provisioning network of that NIC")
    .addOption(choice("--firmware <kind>", "what its firmware is", ["bios", "uefi"]).makeOptionMandatory())
    .option("--address <ipv4>", "fixed address there; one is chosen otherwise")
    .addOption(choice("--loader <which>", "use a capable iPXE in its firmware, or always ours", ["auto", "ours"]))
    .option("--data-mac <mac...>", "addresses of its other NICs")
    .option("--port <port>", "what the network isolator calls that NIC: HIL's label, or a switch's port")
    .option("--isolated-as <name>", "what the network isolator calls the machine, if not by this name")
    .option(
      "--bmc <url>",
      "its BMC, ipmi://user@host[:port], or hil://NODE through HIL; without one, power is switched by hand",
    )
    .option("--bmc-password-file <file>", "file on the appliance with the BMC's password")
    .option("--bmc-password-env <name>", "variable of ingotd with the BMC's password")
    .addHelpText(
      "after",
      examples(
        "ingot node add node-1 --mac 52:54:00:12:34:56 --network prov --firmware uefi \\\n" +
          "    --bmc ipmi://admin@10.0.0.7 --bmc-password-file /etc/ingot/bmc-password",
        "ingot node add bench --mac 52:54:00:12:34:57 --network prov --firmware bios",
      ),
    )
    .action(async (name: string, options: AddOptions, command: Command) => {
      const session = open(command);
      const added = await session.api.post<Node>("/v1/nodes", {
        ...describeNode(name, options),
        project: session.project,
      });
      session.answer(added, () => `node ${added.name} is registered; ingot provision ${added.name} --image IMAGE\n`);
    });

  addNodeImportCommand(node, open);

  node
    .command("list")
    .description("all machines, and what they boot")
    .addHelpText("after", examples("ingot node list", "ingot node list --json | jq -r '.[].name'"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const nodes = await session.api.get<Node[]>("/v1/nodes");
      session.answerTable(
        nodes,
        COLUMNS,
        "no nodes yet; ingot node add registers one, ingot discovered lists candidates",
      );
    });

  node
    .command("show <name>")
    .description("one machine: its NICs, its BMC, what it boots")
    .addHelpText("after", examples("ingot node show node-1"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Node>(path("nodes", name));
      session.answer(found, () => formatNode(found, session.terminal.columns));
    });

  node
    .command("rm <name>")
    .description("forget a machine")
    .option("-y, --yes", "do not ask")
    .addHelpText("after", examples("ingot node rm node-1"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Forget node ${name}?`);
      await session.api.delete(path("nodes", name));
      session.answer({}, () => `node ${name} is forgotten\n`);
    });

  node
    .command("cable <name>")
    .description("say where its NICs are cabled to, in the words of the network isolator")
    .option("--port <mac=port...>", "a NIC, and HIL's label or a switch's port; MAC= takes it away", parsePort, [])
    .option("--isolated-as <name>", "what the isolator calls the machine")
    .addHelpText(
      "after",
      examples(
        "ingot node cable node-1 --port 52:54:00:12:34:56=rack3-p07",
        "ingot node cable node-1 --isolated-as dell-07 --port 52:54:00:12:34:56=em1",
      ),
    )
    .action(async (name: string, { port: ports, isolatedAs }: CableOptions, command: Command) => {
      const session = open(command);
      const body = { ...(isolatedAs === undefined ? {} : { isolatedAs }), ...(ports.length > 0 ? { ports } : {}) };
      const cabled = await session.api.patch<Node>(path("nodes", name, "cabling"), body);
      session.answer(cabled, () => formatNode(cabled, session.terminal.columns));
    });

  node
    .command("move <name> <project>")
    .description("give a free machine to another project")
    .option("--unwiped", "answer for what its drives may hold of the project that had it")
    .addHelpText("after", examples("ingot node move node-1 blue", "ingot node move node-1 blue --unwiped"))
    .action(async (name: string, project: string, { unwiped = false }: { unwiped?: boolean }, command: Command) => {
      const session = open(command);
      const moved = await session.api.post<Node>(path("nodes", name, "move"), { project, unwiped });
      session.answer(moved, () => `node ${moved.name} is of project ${moved.project}\n`);
    });

  node
    .command("wiped <name>")
    .description("say that the drives of a free machine are wiped: any project may have it")
    .addHelpText("after", examples("ingot node wiped node-1"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      const clean = await session.api.post<Node>(path("nodes", name, "wiped"));
      session.answer(clean, () => `node ${clean.name} is clean\n`);
    });

  node
    .command("power <name> [action]")
    .description(`ask for the power, or switch it: ${POWER_ACTIONS.join(", ")}`)
    .option("--no-wait", "do not wait for the end")
    .option("-y, --yes", "do not ask")
    .addHelpText("after", examples("ingot node power node-1", "ingot node power node-1 soft-off"))
    .action(async (name: string, action: string | undefined, _: object, command: Command) => {
      const session = open(command);
      if (action === undefined) return showPower(session, name);
      if (action === "off" || action === "reset") await session.confirm(`${action} cuts ${name} off mid-write. Go on?`);
      await session.finish(await session.api.post<Operation>(path("nodes", name, "power"), { action }));
    });

  node
    .command("confirm <name>")
    .description("say that what an operation waits for at a node without a BMC is done, and seen done")
    .addHelpText("after", examples("ingot node confirm bench"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      const request = await session.api.post<OperatorRequest>(path("nodes", name, "power", "confirm"));
      session.answer(request, () => `${request.node}: ${request.action} is done\n`);
    });

  node
    .command("timeline <name>")
    .description("its last boot, stage by stage")
    .option("--all", "the last ten boots")
    .addHelpText("after", examples("ingot node timeline node-1", "ingot node timeline node-1 --all"))
    .action(async (name: string, { all }: { all?: boolean }, command: Command) => {
      const session = open(command);
      const boots = await session.api.get<Boot[]>(path("nodes", name, "boots"));
      session.answer(boots, () => formatBoots(name, boots, all === true, session.terminal.columns));
    });
}

function describeNode(name: string, options: AddOptions): object {
  const { mac, network, address, firmware, loader, port, isolatedAs, dataMac = [] } = options;
  const boot = { mac, network, role: "boot", ...(address ? { address } : {}), ...(port ? { port } : {}) };
  const nics = [boot, ...dataMac.map((other) => ({ mac: other, role: "data" }))];
  const isolated = isolatedAs === undefined ? {} : { isolatedAs };
  return { name, nics, firmware, ...(loader ? { loader } : {}), power: describePower(options), ...isolated };
}

/** One more `MAC=PORT` of the option. */
function parsePort(text: string, earlier: CableOptions["port"]): CableOptions["port"] {
  const [, mac, port] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (mac === undefined) {
    throw new ApplianceError("INVALID", `--port: "${text}" is no NIC with its port`, {
      details: { field: "--port", value: text, remedy: "write it like 52:54:00:12:34:56=rack3-p07" },
    });
  }
  return [...earlier, { mac, port: port || null }];
}

function describePower({ bmc, bmcPasswordFile, bmcPasswordEnv }: AddOptions): object {
  if (bmc === undefined) return { driver: "manual" };
  const place = parseBmcUrl(bmc);
  if (place.driver === "hil") {
    if (bmcPasswordFile === undefined && bmcPasswordEnv === undefined) return place;
    throw new ApplianceError("INVALID", "--bmc hil:// takes no password: HIL has the BMC's", {
      details: {
        field: "--bmc-password-file",
        remedy: "leave it out; HIL's own account is isolation.hil in the configuration",
      },
    });
  }
  if ((bmcPasswordFile === undefined) === (bmcPasswordEnv === undefined)) {
    throw new ApplianceError("INVALID", "--bmc needs a password", {
      details: { field: "--bmc-password-file", remedy: "give --bmc-password-file FILE or --bmc-password-env NAME" },
    });
  }
  return bmcPasswordFile === undefined
    ? { ...place, passwordEnvironment: bmcPasswordEnv }
    : { ...place, passwordFile: resolve(bmcPasswordFile) };
}

const COLUMNS: Column<Node>[] = [
  { title: "NODE", show: ({ name }) => name, cut: "end" },
  { title: "MAC", show: ({ nics }) => bootNic(nics).mac },
  { title: "NETWORK", show: ({ nics }) => bootNic(nics).network ?? "", cut: "end" },
  { title: "FIRMWARE", show: ({ firmware }) => firmware },
  { title: "ADDRESS", show: ({ boots, nics }) => boots?.address ?? bootNic(nics).address ?? "" },
  { title: "DISK", show: ({ boots, operation }) => boots?.disk ?? (operation ? "(busy)" : "-"), cut: "end" },
];

function bootNic(nics: Node["nics"]): Node["nics"][number] {
  return nics.find(({ role }) => role === "boot") ?? { mac: "", role: "boot", networks: [] };
}

function formatNode(node: Node, width: number): string {
  const { name, id, nics, firmware, loader, power, boots, lastLoader, stall, operation, createdAt, requestedBy } = node;
  const nicTexts = nics.map(({ mac, role, network, address, port, networks }) => {
    const tenants = networks.map((one) => `${one.network}${one.channel === "tagged" ? " (tagged)" : ""}`);
    const place = [mac, role, network, address, port && `at port ${port}`].filter(Boolean).join(" ");
    return tenants.length > 0 ? `${place}, in ${tenants.join(", ")}` : place;
  });
  const password = power.passwordFile ?? (power.passwordEnvironment && `$${power.passwordEnvironment}`);
  const bmc = power.driver === "ipmi" && `ipmi://${power.user}@${power.address}:${power.port}, password in ${password}`;
  const hil = power.driver === "hil" && `through HIL, as ${power.hilNode ?? name}`;
  const facts = formatFacts({
    node: name,
    id,
    ...Object.fromEntries(nicTexts.map((text, index) => [`NIC ${index + 1}`, text])),
    firmware: loader === "ours" ? `${firmware}, always our loader` : firmware,
    loader: lastLoader && [lastLoader.file, lastLoader.why].filter(Boolean).join(": "),
    power: bmc || hil || "by hand",
    project: node.project,
    "isolated as": node.isolatedAs,
    drives:
      node.dirty &&
      `unwiped since ${formatMoment(node.dirty.since)}${node.dirty.project ? `, ${node.dirty.project}'s` : ""}`,
    boots: boots
      ? `disk ${boots.disk}${boots.once ? " (once)" : ""}${boots.address ? ` at ${boots.address}` : ""} on ${boots.network}`
      : "nothing",
    "data disks": boots?.dataDisks.length
      ? boots.dataDisks
          .map(({ disk, lun, readOnly }) => `${disk} at LUN ${lun}${readOnly ? " (read-only)" : ""}`)
          .join(", ")
      : undefined,
    since: boots && formatMoment(boots.since),
    armed: boots && (boots.armed ? "yes, its next boot gets its disk" : "no, its OS was up"),
    ...(boots?.unarmedRequest && describeUnarmed(boots.unarmedRequest)),
    traffic: boots && `${formatBytes(boots.readBytes)} read, ${formatBytes(boots.writtenBytes)} written`,
    operation,
    registered: `${formatMoment(createdAt)} by ${requestedBy}`,
  });
  if (!stall) return facts;
  return `${facts}\n${wrap(`stalled: ${summarizeStall(stall)}`, width, 2)}\n${formatCauses(stall, width)}`;
}

function describeUnarmed({ lastAt, times, finding, remedy }: NonNullable<Boots["unarmedRequest"]>) {
  return {
    "asked in its name": `${formatCount(times, "time")}, last ${formatMoment(lastAt)}, and refused: ${finding}`,
    remedy,
  };
}

async function showPower(session: Session, name: string): Promise<void> {
  const answer = await session.api.get<{ power: string }>(path("nodes", name, "power"));
  session.answer(answer, () => `${answer.power}\n`);
}

function formatBoots(name: string, boots: Boot[], all: boolean, width: number): string {
  if (boots.length === 0) return `no boot of ${name} was seen yet\n`;
  const shown = all ? boots : boots.slice(0, 1);
  const rest = boots.length - shown.length;
  const more = rest > 0 ? `\n${formatCount(rest, "earlier boot")}: ingot node timeline ${name} --all\n` : "";
  return `${shown.map((boot) => `${drawTimeline(boot, width)}\n`).join("\n")}${more}`;
}
