import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runProgram } from "../program.ts";

/** Copies a program of this system and the libraries it is linked with into a root tree, at the same paths; answers these. */
export async function copyProgram(program: string, tree: string): Promise<string[]> {
  const linked = await runProgram("ldd", [program]);
  const libraries = [...linked.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!);
  const files = [program, ...libraries];
  for (const file of files) {
    const copy = join(tree, file);
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(file, copy);
  }
  return files;
}
