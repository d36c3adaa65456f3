import type { Command } from "commander";
import type { ClosingReport, Operation, Project } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { path } from "../session.ts";
import { formatAgo } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";
import { wrap } from "../text/wrap.ts";

/** `ingot project …` */
export function addProjectCommands(program: Command, open: Open): void {
  const project = program.command("project").description("who owns nodes, images and disks");

  project
    .command("add <name>")
    .description("make a project")
    .option("--description <text>", "what it is, in one line")
    .addHelpText("after", examples('ingot project add lab --description "Machines of the lab"'))
    .action(async (name: string, { description }: { description?: string }, command: Command) => {
      const session = open(command);
      const request = { name, ...(description === undefined ? {} : { description }) };
      const added = await session.api.post<Project>("/v1/projects", request);
      session.answer(added, () => `project ${added.name} is there; ingot --project ${added.name} ... works in it\n`);
    });

  project
    .command("list")
    .description("all projects")
    .addHelpText("after", examples("ingot project list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      session.answerTable(await session.api.get<Project[]>("/v1/projects"), COLUMNS, "no projects");
    });

  project
    .command("close <name>")
    .description("release its nodes, export or delete its images and disks, revoke its roles, and forget it")
    .option("--export <dir>", "write images, and what disks hold, there first: a directory on the appliance")
    .option("--dry-run", "show what would be done, and change nothing")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end")
    .addHelpText(
      "after",
      examples("ingot project close lab --dry-run", "ingot project close lab --export /var/lib/ingot-export"),
    )
    .action(async (name: string, { export: to, dryRun }: { export?: string; dryRun?: boolean }, command: Command) => {
      const session = open(command);
      const [place, choice] = [path("projects", name, "close"), to === undefined ? {} : { to }];
      const report = await session.api.post<ClosingReport>(place, { ...choice, dryRun: true });
      if (dryRun) return session.answer(report, () => formatClosing(report, session.terminal.columns));
      session.terminal.err(formatClosing(report, session.terminal.columns));
      const lost = report.disks.length + report.images.length;
      const loss = to === undefined && lost > 0 ? `, and delete ${lost} of its images and disks for good` : "";
      await session.confirm(`Close project ${name}${loss}?`);
      await session.finish(await session.api.post<Operation>(place, choice));
    });

  project
    .command("rm <name>")
    .description("forget a project that owns nothing")
    .option("-y, --yes", "do not ask")
    .addHelpText("after", examples("ingot project rm lab"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Forget project ${name}?`);
      await session.api.delete(path("projects", name));
      session.answer({}, () => `project ${name} is forgotten\n`);
    });
}

function formatClosing(report: ClosingReport, width: number): string {
  const { project, released, nodes, exported, disks, images, networks, tokens, users, obstacles } = report;
  const line = (does: string, things: string[]) =>
    things.length > 0 ? `${wrap(`${does} ${things.join(", ")}`, width, 2)}\n` : "";
  const done = [
    line("release", released),
    line("export", exported),
    line("delete disks", disks),
    line("delete images", images),
    line("remove networks", networks),
    line("give to project default: nodes", nodes),
    line("take roles from tokens", tokens),
    line("take roles from users", users),
    line(`forget project`, [project]),
  ].join("");
  return `${done}${obstacles.map((one) => `${wrap(`not yet: ${one}`, width, 2)}\n`).join("")}`;
}

const COLUMNS: Column<Project>[] = [
  { title: "PROJECT", show: ({ name }) => name, cut: "end" },
  { title: "DESCRIPTION", show: ({ description }) => description ?? "", cut: "end" },
  { title: "MADE", show: ({ createdAt }) => (createdAt === undefined ? "always there" : formatAgo(createdAt)) },
];
