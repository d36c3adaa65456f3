/**
 * Plays a machine that runs on its network disk: boots as its script says, writes a block, says that its OS is up, then
 * reads and writes on and on, a line of output for each round. It ends, with what happened, as soon as its disk fails it.
 * usage: live-machine.ts ADDRESS SERVER MAC [CONTENT]: what block 1 must hold already, else it is written
 */
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fetchFrom, openDisk, readAttachment } from "../../lab/simulated/script.ts";

const [address = "", server = "", mac = "", expected] = process.argv.slice(2);
const script = await fetchFrom(address, `http://${server}/boot/${mac}`);
const attachment = readAttachment(script);
if (!attachment) throw new Error(`no disk in the script:\n${script}`);
const session = await openDisk(attachment, address);
const block = (text: string) => Buffer.alloc(512, `${text} `);
if (expected !== undefined) {
  const found = await session.read(1, 1);
  if (!found.equals(block(expected))) throw new Error(`block 1 holds ${found.toString().slice(0, 40)}`);
} else {
  await session.write(1, block("written by a living machine"));
}
execFileSync("curl", ["-sSf", "--interface", address, "-X", "POST", `http://${server}/boot/${mac}/ready`]);
for (let round = 1; ; round++) {
  await session.write(2, block(`round ${round}`));
  const found = await session.read(2, 1);
  if (!found.equals(block(`round ${round}`))) throw new Error(`round ${round} was lost`);
  process.stdout.write(`${round}\n`);
  await sleep(20);
}
