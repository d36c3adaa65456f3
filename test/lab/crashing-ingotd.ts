/**
 * ingotd as it is, but killed by SIGKILL as soon as the line number INGOT_CRASH_AT of its journal is on disk,
 * counted from the first line of an operation of kind INGOT_CRASH_IN. Without these variables it is plain ingotd.
 */
import type { Journal, JournalEntry } from "../../src/store/journal.ts";
import { journalWithAppend } from "../fakes/journal-with-append.ts";
import { runIngotd } from "./run-ingotd.ts";

const crashAt = Number(process.env.INGOT_CRASH_AT ?? Number.POSITIVE_INFINITY);
const kind = process.env.INGOT_CRASH_IN;
let lines = 0;

function begins({ changes }: JournalEntry): boolean {
  return changes.some(
    ({ collection, value }) => collection === "operations" && value && "kind" in value && value.kind === kind,
  );
}

function wrapJournal(journal: Journal): Journal {
  return journalWithAppend(journal, (entry, durable, failed) => {
    if (lines > 0 || begins(entry)) lines += 1;
    const isLast = lines === crashAt;
    // nothing that is queued behind the last line may reach the disk
    if (lines > crashAt) return;
    journal.append(entry, isLast ? () => process.kill(process.pid, "SIGKILL") : durable, failed);
  });
}

await runIngotd({ store: { wrapJournal } });
