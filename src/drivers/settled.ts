/** All of them, once none of them runs any more; the first failure otherwise. */
export async function settled<T extends readonly unknown[]>(all: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  await Promise.allSettled(all);
  return Promise.all(all) as unknown as Promise<T>;
}
