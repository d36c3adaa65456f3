/**
 * Runs actions on the same key one after the other, in the order they came, and those on different keys at the same
 * time: a removal waits for the clone that is still being made, also one whose caller has gone.
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** The action's result. Rejects with the signal's reason, the action never run, when that fires before its turn. */
  take<T>(key: string, action: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const giveUp = () => reject(signal?.reason);
    signal?.addEventListener("abort", giveUp, { once: true });
    const turn = async () => {
      signal?.removeEventListener("abort", giveUp);
      if (signal?.aborted) giveUp();
      else await Promise.try(action).then(resolve, reject);
    };
    const last = (this.#last.get(key) ?? Promise.resolve()).then(turn);
    this.#last.set(key, last);
    void last.then(() => {
      if (this.#last.get(key) === last) this.#last.delete(key);
    });
    return promise;
  }
}
