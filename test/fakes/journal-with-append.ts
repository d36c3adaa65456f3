import type { Journal } from "../../src/store/journal.ts";

/** A journal that appends as the test says and is the real one otherwise. For crashes and refusals at a chosen line. */
export function journalWithAppend(journal: Journal, append: Journal["append"]): Journal {
  return {
    get segmentBytes() {
      return journal.segmentBytes;
    },
    append,
    rotate: (nextSeq) => journal.rotate(nextSeq),
    dropBefore: (seq) => journal.dropBefore(seq),
    close: () => journal.close(),
  };
}
