import { lookup as systemLookup } from "node:dns/promises";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { ApplianceError } from "../errors.ts";

/** Resolves a host name to all of its addresses. */
export type Resolve = (host: string) => Promise<string[]>;

export type AddressGuardOptions = {
  /** What may be reached although it is inside: host names, addresses, or ranges of addresses like 10.1.0.0/16. */
  allowed: () => readonly string[];
  /** What may not be reached beside what is not public anyway, written the same way. Of names, all their addresses. */
  refused: () => readonly string[];
  resolve?: Resolve;
};

/** Tells which addresses of a host may be connected to. FORBIDDEN where none may, UNAVAILABLE for a name that nobody knows. */
export type AddressGuard = (host: string) => Promise<{ address: string; family: 4 | 6 }[]>;

/** So long are the names of what is refused looked up, all at once. */
const NAMES_MS = 5000;

type Address = ReturnType<typeof ipaddr.process>;

/**
 * Keeps what others name from leading into networks that they don't see: only public unicast addresses pass, and what is
 * listed. Names are resolved here and nowhere else: whoever connects uses these addresses, so that a name which changes
 * its mind gains nothing.
 */
export function createAddressGuard({ allowed, refused, resolve = resolveBySystem }: AddressGuardOptions): AddressGuard {
  const isListed = (list: readonly string[], host: string, address: Address): boolean =>
    list.some((one) => one.toLowerCase() === host || isWithin(address, one));

  const openOf = async (host: string, addresses: string[]): Promise<string[]> => {
    const judged = addresses
      .filter((text) => isIP(text) !== 0)
      .map((text) => ({ text, address: ipaddr.process(text.replace(/%.*$/, "")) }))
      .map((one) => ({ ...one, isAllowed: isListed(allowed(), host, one.address) }))
      .filter(({ isAllowed, address }) => isAllowed || address.range() === "unicast");
    // names are asked for only where it depends on them
    const isAtStake = judged.some(({ isAllowed }) => !isAllowed);
    const closed = isAtStake ? await withAddresses(resolve, refused()) : [];
    return judged
      .filter(({ isAllowed, address }) => isAllowed || !isListed(closed, host, address))
      .map(({ text }) => text);
  };

  return async (name) => {
    const host = name
      .toLowerCase()
      .replace(/^\[|\]$/g, "")
      .replace(/\.$/, "");
    const addresses = isIP(host) === 0 ? await resolveOrFail(resolve, host) : [host];
    const open = await openOf(host, addresses);
    if (open.length > 0) return open.map((address) => ({ address, family: isIP(address) as 4 | 6 }));
    throw new ApplianceError(
      "FORBIDDEN",
      `url: ${host} leads to ${addresses.join(", ")}, where nothing is fetched from`,
      {
        details: {
          field: "url",
          value: host,
          remedy: "name a public server, or list this host or its network in pool.importFrom",
        },
      },
    );
  };
}

async function resolveOrFail(resolve: Resolve, host: string): Promise<string[]> {
  const addresses = await resolve(host).catch((cause) => {
    throw unknownHost(host, cause);
  });
  if (addresses.length === 0) throw unknownHost(host);
  return addresses;
}

/** The list, and after it the addresses of the names in it. A name that nobody resolves soon has none: it leads nowhere. */
async function withAddresses(resolve: Resolve, list: readonly string[]): Promise<string[]> {
  const names = [...new Set(list.filter((one) => !ipaddr.isValid(one.split("/")[0] ?? "")))];
  const late = new Promise<string[]>((done) => {
    setTimeout(() => done([]), NAMES_MS).unref();
  });
  const found = await Promise.all(names.map((name) => Promise.race([resolve(name).catch(() => []), late])));
  return [...list, ...found.flat()];
}

function unknownHost(host: string, cause?: unknown): ApplianceError {
  return new ApplianceError("UNAVAILABLE", `url: nobody knows the host ${host}`, {
    details: { field: "url", value: host, remedy: "see the spelling, and the appliance's name servers" },
    cause,
  });
}

async function resolveBySystem(host: string): Promise<string[]> {
  return (await systemLookup(host, { all: true })).map(({ address }) => address);
}

/** Whether an address is this one, or in this range; false for what is neither, a host name say. */
function isWithin(address: Address, text: string): boolean {
  const [base = "", prefix] = text.split("/");
  if (!ipaddr.isValid(base)) return false;
  const range = ipaddr.process(base);
  const bits = prefix === undefined ? (range.kind() === "ipv4" ? 32 : 128) : Number(prefix);
  return range.kind() === address.kind() && address.match(range as never, bits);
}
