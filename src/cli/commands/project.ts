import type { Command } from "commander";
import type { Project } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { path } from "../session.ts";
import { formatAgo } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

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

const COLUMNS: Column<Project>[] = [
  { title: "PROJECT", show: ({ name }) => name, cut: "end" },
  { title: "DESCRIPTION", show: ({ description }) => description ?? "", cut: "end" },
  { title: "MADE", show: ({ createdAt }) => (createdAt === undefined ? "always there" : formatAgo(createdAt)) },
];
