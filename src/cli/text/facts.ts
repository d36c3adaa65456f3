/** Lines of `name: value`, the values under each other; what is undefined is left out. */
export function formatFacts(facts: Record<string, string | undefined>): string {
  const there = Object.entries(facts).filter((fact): fact is [string, string] => fact[1] !== undefined);
  const width = Math.max(...there.map(([name]) => name.length)) + 2;
  return there.map(([name, value]) => `${`${name}:`.padEnd(width)}${value}\n`).join("");
}
