import { ApplianceError } from "../errors.ts";

declare const ipv4Brand: unique symbol;
/** An IPv4 address in dotted form. */
export type Ipv4 = string & { readonly [ipv4Brand]: true };

/** `network` is the lowest address, `prefix` the number of leading one bits. */
export type Subnet = { readonly network: Ipv4; readonly prefix: number };

export const ANY_IPV4 = "0.0.0.0" as Ipv4;
export const BROADCAST_IPV4 = "255.255.255.255" as Ipv4;

/** The address that four decimal numbers name; INVALID otherwise. */
export function parseIpv4(text: string, field = "address"): Ipv4 {
  const parts = text.split(".");
  const good = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  if (!good) {
    throw new ApplianceError("INVALID", `${field}: "${text}" is not an IPv4 address`, {
      details: { field, value: text, remedy: "write it like 10.20.0.1" },
    });
  }
  return text as Ipv4;
}

const DOT = ".".charCodeAt(0);
const DIGIT_ZERO = "0".charCodeAt(0);

/** The 32-bit number of an address. */
export function ipv4ToNumber(address: Ipv4): number {
  let number = 0;
  let part = 0;
  // by hand: asked several times per packet, and splitting makes garbage
  for (let at = 0; at < address.length; at++) {
    const character = address.charCodeAt(at);
    if (character !== DOT) {
      part = part * 10 + character - DIGIT_ZERO;
      continue;
    }
    number = number * 256 + part;
    part = 0;
  }
  return number * 256 + part;
}

/** The address of a 32-bit number. */
export function ipv4FromNumber(number: number): Ipv4 {
  return `${(number >>> 24) & 255}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}` as Ipv4;
}

/** The address in four bytes of a packet. */
export function ipv4FromBytes(bytes: Uint8Array, offset = 0): Ipv4 {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}` as Ipv4;
}

/** Four bytes, as packets carry them. */
export function ipv4Bytes(address: Ipv4): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(ipv4ToNumber(address));
  return bytes;
}

/** `10.20.0.0/24`; INVALID when host bits are set or the prefix is not `shortest` to `longest`. */
export function parseSubnet(text: string, field = "subnet", shortest = 8, longest = 30): Subnet {
  const [address = "", bits = ""] = text.split("/");
  const prefix = Number(bits);
  const remedy = "write it like 10.20.0.0/24";
  if (!/^\d{1,2}$/.test(bits) || prefix < shortest || prefix > longest) {
    throw new ApplianceError("INVALID", `${field}: "${text}" needs a prefix length from ${shortest} to ${longest}`, {
      details: { field, value: text, remedy },
    });
  }
  const network = parseIpv4(address, field);
  if ((ipv4ToNumber(network) & ~maskNumber(prefix)) !== 0) {
    const right = ipv4FromNumber(ipv4ToNumber(network) & maskNumber(prefix));
    throw new ApplianceError("INVALID", `${field}: "${text}" has bits set behind the prefix`, {
      details: { field, value: text, remedy: `write ${right}/${prefix}` },
    });
  }
  return { network, prefix };
}

/** `10.20.0.0/24` again. */
export function formatSubnet(subnet: Subnet): string {
  return `${subnet.network}/${subnet.prefix}`;
}

/** The netmask of a subnet, `255.255.255.0`. */
export function netmask(subnet: Subnet): Ipv4 {
  return ipv4FromNumber(maskNumber(subnet.prefix));
}

/** The subnet's broadcast address, its highest. */
export function broadcastAddress(subnet: Subnet): Ipv4 {
  return ipv4FromNumber(ipv4ToNumber(subnet.network) | ~maskNumber(subnet.prefix));
}

/** Whether the address lies in the subnet. */
export function subnetContains(subnet: Subnet, address: Ipv4): boolean {
  return ((ipv4ToNumber(address) ^ ipv4ToNumber(subnet.network)) & maskNumber(subnet.prefix)) === 0;
}

function maskNumber(prefix: number): number {
  // Shifts count modulo 32.
  return prefix === 0 ? 0 : -1 << (32 - prefix);
}
