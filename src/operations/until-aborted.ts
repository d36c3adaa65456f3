/**
 * What comes, until the signal is aborted: then it fails with the signal's reason at once, although the sender may be
 * silent for long.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await unlessAborted(signal, () => iterator.next());
      if (done) return;
      yield value;
    }
  } finally {
    // not waited for: a stream ends only once it has answered what was asked last
    iterator.return?.().catch(() => {});
  }
}

/** What a promise comes to, unless the signal is aborted first: then it fails with the signal's reason at once. */
export function unlessAborted<T>(signal: AbortSignal, begin: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    begin()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}
