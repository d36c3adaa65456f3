import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Chap } from "../../src/boot/boot-entry.ts";
import type { Rack } from "../lab/rack.ts";

/** Text files below a directory by path, those that vanish meanwhile left out. */
export async function readTexts(directory: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, "latin1").catch(() => undefined);
    if (text !== undefined) texts.set(path, text);
  }
  return texts;
}

/** The CHAP credentials of all attachments that the appliance's state holds, checkpoints and journal. */
export async function storedChaps({ stateDirectory }: Rack): Promise<Chap[]> {
  const state = [...(await readTexts(join(stateDirectory, "state"))).values()].join("\n");
  const found = [...state.matchAll(/"user":"(chap-[^"]+)","secret":"([^"]+)"/g)];
  return [...new Map(found.map(([, user, secret]) => [user, { user: user!, secret: secret! }])).values()];
}

/** Sees the arguments of all programs on the machine, several times a second. */
export class CommandLines {
  readonly #seen = new Set<string>();
  readonly #stop = new AbortController();
  readonly #watching = this.#watch();

  async #watch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
        this.#seen.add(await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => ""));
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Everything seen, a program's arguments separated by spaces. */
  async end(): Promise<string[]> {
    this.#stop.abort();
    await this.#watching;
    return [...this.#seen].map((line) => line.replaceAll("\0", " "));
  }
}
