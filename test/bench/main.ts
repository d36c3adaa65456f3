/** Runs one benchmark. usage: npm run bench -- NAME, where NAME is a file of this folder. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -".ts".length));
const [name = "", ...rest] = process.argv.slice(2);
if (names.includes(name)) {
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...rest], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} else {
  console.error(`there is no benchmark "${name}"; there are ${names.join(", ")}`);
  process.exitCode = 2;
}
