/**
 * What comes, until the signal is aborted: then it fails with the signal's reason at once, although the sender may be
 * silent for long.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await next(iterator, signal);
      if (done) return;
      yield value;
    }
  } finally {
    // not waited for: a stream ends only once it has answered what was asked last
    iterator.return?.().catch(() => {});
  }
}

function next<T>(iterator: AsyncIterator<T>, signal: AbortSignal): Promise<IteratorResult<T>> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    iterator
      .next()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}
