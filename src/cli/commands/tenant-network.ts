import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import type { Network, Operation } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { path } from "../session.ts";
import { formatFacts } from "../text/facts.ts";
import type { Column } from "../text/table.ts";

/** `ingot network …` */
export function addTenantNetworkCommands(program: Command, open: Open): void {
  const network = program.command("network").description("networks that nodes of a project reach each other in");

  network
    .command("create <name>")
    .description("make a network of the project")
    .option("--vlan <n>", "its VLAN, for operators to wish; chosen otherwise", parseVlan)
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples("ingot network create storage", "ingot --project red network create storage --vlan 210"),
    )
    .action(async (name: string, { vlan }: { vlan?: number }, command: Command) => {
      const session = open(command);
      const request = { name, ...(vlan === undefined ? {} : { vlan }) };
      await session.finish(await session.api.post<Operation>(session.projectPath("networks"), request));
    });

  network
    .command("list")
    .description("the project's networks, those that others share with it, and where it may boot")
    .addHelpText("after", examples("ingot network list", "ingot network list --json | jq '.[].vlan'"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Network[]>(session.projectPath("networks"));
      session.answerTable(found, COLUMNS, "no networks; ingot network create makes one");
    });

  network
    .command("show <name>")
    .description("one network, and the NICs in it")
    .addHelpText("after", examples("ingot network show storage"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Network>(session.projectPath("networks", name));
      session.answer(found, () => formatNetwork(found));
    });

  for (const [verb, does] of [
    ["share", "let other projects put NICs into a network"],
    ["unshare", "take that back, once none of their NICs is in it"],
  ] as const) {
    network
      .command(`${verb} <name>`)
      .description(does)
      .requiredOption("--with <project...>", "these projects")
      .option("--no-wait", "do not wait for the end")
      .addHelpText("after", examples(`ingot network ${verb} storage --with blue`))
      .action(async (name: string, { with: projects }: { with: string[] }, command: Command) => {
        const session = open(command);
        const place = session.projectPath("networks", name, verb);
        await session.finish(await session.api.post<Operation>(place, { projects }));
      });
  }

  network
    .command("rm <name>")
    .description("remove a network that no NIC is in")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot network rm storage"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Remove network ${name}?`);
      await session.finish(await session.api.delete<Operation>(session.projectPath("networks", name)));
    });

  network
    .command("attach <node> <nic> <network>")
    .description("put a NIC of a provisioned node into a network; the NIC by its MAC, or as the isolator calls it")
    .option("--tagged", "with the VLAN's tag; untagged otherwise")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples(
        "ingot network attach node-1 rack3-p08 storage",
        "ingot network attach node-1 rack3-p07 storage --tagged",
      ),
    )
    .action(async (node: string, nic: string, name: string, { tagged }: { tagged?: boolean }, command: Command) => {
      const session = open(command);
      const request = { nic, network: name, channel: tagged ? "tagged" : "native" };
      await session.finish(await session.api.post<Operation>(path("nodes", node, "networks"), request));
    });

  network
    .command("detach <node> <nic> <network>")
    .description("take a NIC out of a network")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot network detach node-1 rack3-p08 storage"))
    .action(async (node: string, nic: string, name: string, _: object, command: Command) => {
      const session = open(command);
      const request = { nic, network: name };
      await session.finish(await session.api.post<Operation>(path("nodes", node, "networks", "detach"), request));
    });
}

function parseVlan(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new ApplianceError("INVALID", `--vlan: "${text}" is no VLAN`, {
    details: { field: "--vlan", value: text, remedy: "give a number from 1 to 4094" },
  });
}

const COLUMNS: Column<Network>[] = [
  { title: "NETWORK", show: ({ name }) => name, cut: "end" },
  { title: "KIND", show: ({ kind }) => kind },
  { title: "VLAN", show: ({ vlan }) => (vlan === undefined ? "-" : String(vlan)), align: "right" },
  { title: "SHARED WITH", show: ({ sharedWith = [] }) => sharedWith.join(", ") || "-", cut: "end" },
  { title: "NICS", show: ({ kind, members }) => (kind === "tenant" ? String(members.length) : "-"), align: "right" },
];

function formatNetwork({ name, kind, id, owner, vlan, ready, sharedWith, members }: Network): string {
  return formatFacts({
    network: name,
    kind,
    id,
    owner,
    vlan: vlan?.toString(),
    "shared with": sharedWith?.join(", "),
    made: ready ? undefined : "not yet",
    ...Object.fromEntries(
      members.map(({ node, nic, channel }, index) => [
        `NIC ${index + 1}`,
        `${nic} of ${node}${channel === "tagged" ? ", tagged" : ""}`,
      ]),
    ),
  });
}
