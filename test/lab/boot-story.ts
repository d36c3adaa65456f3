import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Rack, RackNode } from "./rack.ts";

const CONSOLE_LINES = 25;
const LOG_LINES = 40;

/** What is known of a boot that went wrong, for people: the node's timeline, its console's and ingotd's last lines. */
export async function bootStory(rack: Rack, node: RackNode): Promise<string> {
  const timeline = await rack.ingot("node", "timeline", node.name).catch((error) => String(error));
  const console = (await node.console.lines()).filter((line) => line.trim() !== "").slice(-CONSOLE_LINES);
  const log = await readFile(join(rack.stateDirectory, "ingotd.log"), "utf8").catch(String);
  return [
    `--- boot timeline of ${node.name}`,
    timeline,
    `--- its serial console, last lines`,
    ...console,
    "--- ingotd, last lines",
    ...log
      .split("\n")
      .filter((line) => line !== "" && !line.includes('"component":"api"'))
      .slice(-LOG_LINES),
  ].join("\n");
}
