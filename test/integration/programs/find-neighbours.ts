/** Looks addresses up in the neighbour table of an interface, both from argv; prints JSON. */
import { findNeighbour } from "../../../src/net/neighbours.ts";
import { parseIpv4 } from "../../../src/values/ipv4.ts";

const [name = "", ...addresses] = process.argv.slice(2);
console.log(JSON.stringify(addresses.map((address) => findNeighbour(name, parseIpv4(address)) ?? null)));
