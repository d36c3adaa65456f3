import { ANY_IPV4 } from "../../values/ipv4.ts";
import type { DhcpMessage } from "./message.ts";
import { formatOptions } from "./option.ts";
import { OPTION_BY_CODE } from "./options.ts";
import { quote } from "./shapes/text.ts";

/**
 * A message as text for fixtures and debug logs: the header in a line, what is set of its fields, and an
 * option per line by name, unknown ones in hex. Passwords are not shown.
 */
export function formatDhcp(message: DhcpMessage): string {
  const lines = [
    `${message.dhcp ? "DHCP" : "BOOTP"} ${message.op} xid=0x${message.xid.toString(16).padStart(8, "0")}` +
      ` secs=${message.secs} hops=${message.hops} htype=${message.htype}${message.broadcast ? " broadcast" : ""}`,
    `chaddr ${
      Buffer.from(message.chaddr)
        .toString("hex")
        .replace(/(..)(?!$)/g, "$1:") || "empty"
    }`,
  ];
  for (const field of ["ciaddr", "yiaddr", "siaddr", "giaddr"] as const) {
    if (message[field] !== ANY_IPV4) lines.push(`${field} ${message[field]}`);
  }
  for (const field of ["sname", "file"] as const) {
    if (message[field] !== "") lines.push(`${field} ${quote(message[field])}`);
  }
  lines.push(...formatOptions(message.options, OPTION_BY_CODE).map((line) => `  ${line}`));
  return `${lines.join("\n")}\n`;
}
