/** Runs one benchmark. usage: npm run bench -- NAME, where NAME is a file of this folder. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -".ts".length));
const name = process.argv[2] ?? "";
if (names.includes(name)) {
  // in this very process: whoever kills it must not leave a benchmark that runs on
  const file = join(import.meta.dirname, `${name}.ts`);
  process.argv.splice(1, 2, file);
  await import(file);
} else {
  console.error(`there is no benchmark "${name}"; there are ${names.join(", ")}`);
  process.exitCode = 2;
}
