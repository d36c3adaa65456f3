/** Something that a machine may try to reach. */
export type Place = {
  name: string;
  address: string;
  /** TCP port; without one it is pinged. */
  port?: number;
};

export type Attempt = {
  /** The attacker's interface. */
  interface: string;
  /** The appliance in the attacker's own network, a /24. */
  appliance: string;
  places: Place[];
  /** How many at once; few by default: what is typed to a machine has to fit into its line. */
  atATime?: number;
};

/** How a command is run on the machine that tries: in a shell that has busybox. */
export type RunThere = (command: string) => Promise<string>;

const AT_A_TIME = 5;
const SECONDS = 2;

/**
 * The names of the places that a machine reaches. It does what root there can do by routing: looks for each address on its
 * own wire; and sends frames for those of other networks to the appliance, which may have them.
 */
export async function whatReaches(run: RunThere, attempt: Attempt): Promise<string[]> {
  const { interface: nic, appliance, places, atATime = AT_A_TIME } = attempt;
  const network = appliance.slice(0, appliance.lastIndexOf(".") + 1);
  const elsewhere = places.filter(({ address }) => !address.startsWith(network));
  const reached = new Set(await reachedBy(run, `dev ${nic}`, places, atATime));
  for (const name of await reachedBy(run, `via ${appliance}`, elsewhere, atATime)) reached.add(name);
  return places.map(({ name }) => name).filter((name) => reached.has(name));
}

async function reachedBy(run: RunThere, way: string, places: Place[], atATime: number): Promise<string[]> {
  const reached: string[] = [];
  for (let from = 0; from < places.length; from += atATime) {
    const some = places.slice(from, from + atATime);
    const addresses = [...new Set(some.map(({ address }) => address))];
    const each = (verb: string) => `for a in ${addresses.join(" ")}; do busybox ip route ${verb}; done 2>/dev/null`;
    const attempts = some.map((place, index) => `(${reaching(place)} && echo "reached"-${index})&`);
    const said = await run(
      `sh -c '${each(`replace $a/32 ${way}`)}; ${attempts.join("")} wait; ${each("del $a/32")}; true'`,
    );
    reached.push(...some.filter((_, index) => new RegExp(`reached-${index}\\b`).test(said)).map(({ name }) => name));
  }
  return reached;
}

function reaching({ address, port }: Place): string {
  const words =
    port === undefined ? `ping -c 1 -W ${SECONDS} ${address}` : `nc -w ${SECONDS} ${address} ${port} </dev/null`;
  return `busybox ${words} >/dev/null 2>&1`;
}

/** Who reaches what, a line for each machine: `yes` and `.` as it shall be, `LEAK` and `lost` where it is not. */
export function reachTable(
  rows: { name: string; reached: string[] }[],
  places: { name: string; isFor: (machine: string) => boolean }[],
): string {
  const widths = places.map(({ name }) => Math.max(...name.split(" ").map((word) => word.length)));
  const heads = places.map(({ name }) => name.split(" "));
  const height = Math.max(...heads.map((words) => words.length));
  const first = Math.max(...rows.map(({ name }) => name.length));
  const line = (name: string, cells: string[]) =>
    [name.padEnd(first), ...cells.map((cell, index) => cell.padEnd(widths[index]!))].join("  ").trimEnd();
  const header = Array.from({ length: height }, (_, row) =>
    line(
      "",
      heads.map((words) => words[row - (height - words.length)] ?? ""),
    ),
  );
  const body = rows.map((row) =>
    line(
      row.name,
      places.map(({ name, isFor }) => {
        if (!row.reached.includes(name)) return isFor(row.name) ? "lost" : ".";
        return isFor(row.name) ? "yes" : "LEAK";
      }),
    ),
  );
  return [...header, ...body].join("\n");
}
