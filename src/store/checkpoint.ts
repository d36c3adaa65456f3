import { open, readFile, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { type Adapter, Low } from "lowdb";
import { ApplianceError } from "../errors.ts";
import { syncPath } from "../net/sync-path.ts";

/** A collection as its file holds it; `through` is the last journal entry that it contains. */
export type Checkpoint = { schema: 1; through: number; records: Map<string, object> };

const RECORDS_PER_TURN = 500;
/** As much is parsed at a time: the garbage of one large text would double the size of the process for good. */
const PARSED_BYTES = 64 * 1024;
const END = "\n}}\n";

/** Opens the checkpoint file of one collection; an absent file is an empty collection. CORRUPT when it is not what was written. */
export async function openCheckpoint(file: string): Promise<Low<Checkpoint>> {
  const checkpoint = new Low<Checkpoint>(new DurableFile(file), { schema: 1, through: 0, records: new Map() });
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
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    return parseAsWritten(bytes) ?? this.#parse(bytes.toString());
  }

  /** A file that somebody has edited, or that is damaged. */
  #parse(text: string): Checkpoint {
    let value: { schema?: unknown; through?: unknown; records?: unknown };
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw this.#corrupt("it is not JSON", cause);
    }
    const { schema, through, records } = value;
    if (schema !== 1) throw this.#corrupt(`its schema is ${JSON.stringify(schema)}, this version reads 1`);
    if (!Number.isSafeInteger(through) || typeof records !== "object" || records === null) {
      throw this.#corrupt("`through` or `records` is missing");
    }
    return { schema, through: through as number, records: new Map(Object.entries(records)) };
  }

  async write(checkpoint: Checkpoint): Promise<void> {
    const temporary = `${this.#file}.new`;
    await unlink(temporary).catch(() => {});
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.appendFile(head(checkpoint.through));
      let separator = "\n";
      let lines: string[] = [];
      const append = async () => {
        if (lines.length > 0) await handle.appendFile(separator + lines.join(",\n"));
        separator = ",\n";
        lines = [];
      };
      for (const [key, record] of checkpoint.records) {
        lines.push(`${JSON.stringify(key)}:${JSON.stringify(record)}`);
        if (lines.length === RECORDS_PER_TURN) await append();
      }
      await append();
      await handle.appendFile(END);
      await handle.sync();
    } catch (error) {
      // on a full disk half a file is room that the journal could have
      await unlink(temporary).catch(() => {});
      throw error;
    } finally {
      await handle.close();
    }
    await rename(temporary, this.#file);
    await syncPath(dirname(this.#file));
  }

  #corrupt(why: string, cause?: unknown): ApplianceError {
    return new ApplianceError("CORRUPT", `${this.#file} is damaged: ${why}`, {
      cause,
      details: { value: this.#file, remedy: "restore the state directory from a backup" },
    });
  }
}

function head(through: number): string {
  return `{"schema":1,"through":${through},"records":{`;
}

/** The checkpoint in a file as `write` leaves it, a record per line; undefined for any other. */
function parseAsWritten(bytes: Buffer): Checkpoint | undefined {
  const through = Number(/^\{"schema":1,"through":(\d+),/.exec(bytes.toString("latin1", 0, 64))?.[1]);
  const from = head(through).length;
  const to = bytes.length - END.length;
  if (bytes.toString("latin1", 0, from) !== head(through) || bytes.toString("latin1", to) !== END) return undefined;
  const records = new Map<string, object>();
  for (let start = from; start < to; ) {
    const newline = bytes.indexOf("\n", start + PARSED_BYTES);
    const end = newline === -1 || newline > to ? to : newline;
    // a line break stands between records only, behind the comma
    const lines = bytes.toString("utf8", start, end).replace(/,$/, "");
    try {
      for (const [key, record] of Object.entries(JSON.parse(`{${lines}}`))) records.set(key, record as object);
    } catch {
      return undefined;
    }
    start = end;
  }
  return { schema: 1, through, records };
}
