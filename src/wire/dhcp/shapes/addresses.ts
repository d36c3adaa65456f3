import { type Ipv4, ipv4Bytes, ipv4FromBytes, ipv4ToNumber } from "../../../values/ipv4.ts";
import { u32 } from "./numbers.ts";
import { expectGroups, expectLength, malformed, type Shape } from "./shape.ts";

/** One IPv4 address. */
export const ipv4: Shape<Ipv4> = {
  decode(bytes, field) {
    expectLength(bytes, 4, field);
    return ipv4FromBytes(bytes);
  },
  encode: (address, field) => u32.encode(ipv4ToNumber(address), field),
  format: String,
};

/** One or more IPv4 addresses, best first. */
export const ipv4List: Shape<Ipv4[]> = {
  decode(bytes, field) {
    expectGroups(bytes, 4, field);
    return Array.from({ length: bytes.length / 4 }, (_, index) => ipv4FromBytes(bytes, index * 4));
  },
  encode(addresses, field) {
    if (addresses.length === 0) throw malformed(field, "a list can't be empty");
    return Buffer.concat(addresses.map(ipv4Bytes));
  },
  format: (addresses) => addresses.join(" "),
};
