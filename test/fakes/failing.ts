/** An object whose every asynchronous method first asks `before(method)`, which may throw. For injecting failures into drivers. */
export function failing<T extends object>(target: T, before: (method: string) => void): T {
  return new Proxy(target, {
    get(object, property) {
      const value = Reflect.get(object, property, object);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        before(String(property));
        return value.apply(object, args);
      };
    },
  });
}
