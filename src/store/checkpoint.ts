import { open, readFile, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { type Adapter, Low } from "lowdb";
import { ApplianceError } from "../errors.ts";
import { syncDirectory } from "./directory.ts";

/** A collection as its file holds it; `through` is the last journal entry that it contains. */
export type Checkpoint = { schema: 1; through: number; records: Record<string, object> };

const RECORDS_PER_TURN = 500;

/** Opens the checkpoint file of one collection; an absent file is an empty collection. CORRUPT when it is not what was written. */
export async function openCheckpoint(file: string): Promise<Low<Checkpoint>> {
  const checkpoint = new Low<Checkpoint>(new DurableFile(file), { schema: 1, through: 0, records: {} });
  await checkpoint.read();
  return checkpoint;
}

/** lowdb's adapter that keeps what it wrote: temp file, fsync, rename, directory fsync; long collections are written in turns, so that packets are answered in between. */
class DurableFile implements Adapter<Checkpoint> {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async read(): Promise<Checkpoint | null> {
    let text: string;
    try {
      text = await readFile(this.#file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    let value: Partial<Checkpoint>;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw this.#corrupt("it is not JSON", cause);
    }
    if (value.schema !== 1) throw this.#corrupt(`its schema is ${JSON.stringify(value.schema)}, this version reads 1`);
    if (!Number.isSafeInteger(value.through) || typeof value.records !== "object" || value.records === null) {
      throw this.#corrupt("`through` or `records` is missing");
    }
    return value as Checkpoint;
  }

  async write(checkpoint: Checkpoint): Promise<void> {
    const temporary = `${this.#file}.new`;
    await unlink(temporary).catch(() => {});
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.appendFile(`{"schema":1,"through":${checkpoint.through},"records":{`);
      const entries = Object.entries(checkpoint.records);
      for (let index = 0; index < entries.length; index += RECORDS_PER_TURN) {
        const lines = entries
          .slice(index, index + RECORDS_PER_TURN)
          .map(([key, record]) => `${JSON.stringify(key)}:${JSON.stringify(record)}`);
        await handle.appendFile(`${index === 0 ? "\n" : ",\n"}${lines.join(",\n")}`);
      }
      await handle.appendFile("\n}}\n");
      await handle.sync();
    } catch (error) {
      // on a full disk half a file is room that the journal could have
      await unlink(temporary).catch(() => {});
      throw error;
    } finally {
      await handle.close();
    }
    await rename(temporary, this.#file);
    await syncDirectory(dirname(this.#file));
  }

  #corrupt(why: string, cause?: unknown): ApplianceError {
    return new ApplianceError("CORRUPT", `${this.#file} is damaged: ${why}`, {
      cause,
      details: { value: this.#file, remedy: "restore the state directory from a backup" },
    });
  }
}
