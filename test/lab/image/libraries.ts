import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runProgram } from "../program.ts";

/** Copies a program of this system and the libraries it is linked with into a root tree, at the same paths. */
export async function copyProgram(program: string, tree: string): Promise<void> {
  const linked = await runProgram("ldd", [program]);
  const libraries = [...linked.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!);
  for (const file of [program, ...libraries]) {
    const copy = join(tree, file);
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(file, copy);
  }
}
