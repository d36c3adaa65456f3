import type { CallStorage, StreamStorage } from "../../src/storaged/caller.ts";
import { storageDrivers } from "../../src/storaged/client.ts";
import { type StorageDrivers, storageVerbs, type Verb } from "../../src/storaged/verbs.ts";

/** The drivers as ingotd has them: what they are asked goes through storaged's verbs, which look at it, without a socket. */
export function throughVerbs(drivers: StorageDrivers): StorageDrivers {
  const verbs: Record<string, Verb> = storageVerbs(drivers, async () => {});
  const call = async (
    verb: string,
    args: object,
    signal: AbortSignal = new AbortController().signal,
    progress: (done: number, total: number) => void = () => {},
  ) => verbs[verb]!.run(JSON.parse(JSON.stringify(args)), { signal, progress });
  return storageDrivers(call as CallStorage, call as StreamStorage);
}
