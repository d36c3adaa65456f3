import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";

/** Which machine, and where it reaches the boot server of its network. */
export type BootPlace = {
  server: Ipv4;
  httpPort: number;
  mac: Mac;
  /** A boot token, where the machine's address proves nothing. */
  token?: string | undefined;
};

/** Where this machine fetches its script. */
export function scriptUrl({ server, httpPort, mac, token }: BootPlace): string {
  const query = token === undefined ? "" : `?token=${token}`;
  return `http://${server}${httpPort === 80 ? "" : `:${httpPort}`}/boot/${mac}${query}`;
}

/** Where UEFI HTTP boot is sent to go on to its next boot device: there is never anything, and 404 ends its attempt at once. */
export function exitUrl(place: Omit<BootPlace, "token">): string {
  return `${scriptUrl(place)}/exit`;
}
