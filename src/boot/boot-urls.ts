import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";

/** Which machine, and where it reaches the boot server of its network. */
export type BootPlace = { server: Ipv4; httpPort: number; mac: Mac };

/** Where this machine fetches its script. */
export function scriptUrl({ server, httpPort, mac }: BootPlace): string {
  return `http://${server}${httpPort === 80 ? "" : `:${httpPort}`}/boot/${mac}`;
}

/** Where UEFI HTTP boot is sent to go on to its next boot device: there is never anything, and 404 ends its attempt at once. */
export function exitUrl(place: BootPlace): string {
  return `${scriptUrl(place)}/exit`;
}
