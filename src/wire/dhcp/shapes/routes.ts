import {
  type Ipv4,
  ipv4Bytes,
  ipv4FromBytes,
  ipv4FromNumber,
  ipv4ToNumber,
  type Subnet,
} from "../../../values/ipv4.ts";
import { malformed, type Shape } from "./shape.ts";

/** The router on the way to a subnet; prefix 0 is the default route. */
export type Route = { destination: Subnet; router: Ipv4 };

/** Classless static routes (RFC 3442): prefix length, the octets of the subnet that it covers, router. */
export const routes: Shape<Route[]> = {
  decode(bytes, field) {
    if (bytes.length === 0) throw malformed(field, "no route");
    const list: Route[] = [];
    for (let offset = 0; offset < bytes.length; ) {
      const prefix = bytes[offset]!;
      if (prefix > 32) throw malformed(field, `${prefix} is no prefix length`);
      const octets = significantOctets(prefix);
      const end = offset + 1 + octets + 4;
      if (end > bytes.length) throw malformed(field, "a route is cut short");
      const network = new Uint8Array(4);
      network.set(bytes.subarray(offset + 1, offset + 1 + octets));
      list.push({
        destination: { network: maskAddress(ipv4FromBytes(network), prefix), prefix },
        router: ipv4FromBytes(bytes, end - 4),
      });
      offset = end;
    }
    return list;
  },
  encode(list, field) {
    if (list.length === 0) throw malformed(field, "no route");
    return Buffer.concat(
      list.flatMap(({ destination: { network, prefix }, router }) => {
        if (!Number.isInteger(prefix) || prefix < 0 || prefix > 32) {
          throw malformed(field, `${prefix} is no prefix length`);
        }
        const octets = ipv4Bytes(maskAddress(network, prefix)).subarray(0, significantOctets(prefix));
        return [Uint8Array.of(prefix), octets, ipv4Bytes(router)];
      }),
    );
  },
  format: (list) =>
    list.map(({ destination, router }) => `${destination.network}/${destination.prefix} via ${router}`).join(", "),
};

function significantOctets(prefix: number): number {
  return Math.ceil(prefix / 8);
}

/** RFC 3442: bits behind the prefix in the last octet mean nothing. Prefix 0 masks nothing, but has no octets either. */
function maskAddress(address: Ipv4, prefix: number): Ipv4 {
  return ipv4FromNumber(ipv4ToNumber(address) & (-1 << (32 - prefix)));
}
