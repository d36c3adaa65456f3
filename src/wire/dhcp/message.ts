import type { Ipv4 } from "../../values/ipv4.ts";

/** A DHCP or BOOTP message (RFC 2131 2, RFC 951), as bytes mean it. Unknown options survive decode and encode. */
export type DhcpMessage = {
  op: "request" | "reply";
  htype: number;
  hlen: number;
  hops: number;
  xid: number;
  secs: number;
  /** The BROADCAST bit. Other flag bits are zero (RFC 2131 2). */
  broadcast: boolean;
  ciaddr: Ipv4;
  yiaddr: Ipv4;
  siaddr: Ipv4;
  giaddr: Ipv4;
  /** Client hardware address: the first `hlen` of 16 bytes. */
  chaddr: Uint8Array;
  /** Header field; empty when overloaded (option 52). */
  sname: string;
  /** Header field; empty when overloaded. */
  file: string;
  /** False for plain BOOTP (no magic cookie): then there are no options. */
  dhcp: boolean;
  /** Values by code, split instances already joined (RFC 3396), PAD and END gone; in order of first appearance. */
  options: Map<number, Uint8Array>;
};
