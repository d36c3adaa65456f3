import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { Drops } from "./packet-log.ts";

/**
 * What DHCP does on a network now. `server`: addresses and boot answers. `proxy`: boot answers alone. `silent`: nothing,
 * until it is known that no other server is there. `off`: nothing.
 */
export type DhcpRole = "server" | "proxy" | "silent" | "off";

/** Another DHCP server, and how it was noticed: it answered a probe, or a client spoke of it. */
export type ForeignServer = { address: Ipv4; firstSeenAt: number; lastSeenAt: number; by: "probe" | "request" };

/** `namedBy`: the first clients that named it. `isSure`: it counts. */
/** `answeredAt`: when it first answered a probe. */
type Sighting = ForeignServer & { namedBy: readonly Mac[]; isSure: boolean; answeredAt?: number };

/** What is known of DHCP on one network, for people. */
export type DhcpState = {
  mode: NetworkConfig["dhcp"];
  role: DhcpRole;
  foreign: readonly ForeignServer[];
  /** When the last probe ended; absent before the first. */
  probedAt?: number;
  /** Why the last probe could not be made. */
  trouble?: { message: string; remedy?: string };
  /** Requests dropped unread since the start; absent where none are served. */
  drops?: Readonly<Drops>;
};

/** A server that clients named and no probe found is forgotten after this time without another mention. */
const FORGET_MS = 15 * 60 * 1000;
/** More are no news: somebody plays with forged packets. */
const MAX_FOREIGN = 16;
/** So many clients must name a server for it to count where no probe can be made: one datagram is forged too easily. */
const WITNESSES = 2;

/**
 * The part that our DHCP plays on one network, by its configured mode and by the other servers that answer probes:
 *
 * | mode     | before the first probe ended | no other server | another one                         |
 * | -------- | ---------------------------- | --------------- | ----------------------------------- |
 * | `server` | silent                       | server          | silent; server if it was one before |
 * | `auto`   | silent                       | server          | proxy, until the next start; from   |
 * |          |                              |                 | server when it answers two probes   |
 * | `proxy`  | proxy                        | proxy           | proxy                               |
 * | `off`    | off                          | off             | off                                 |
 *
 * A server that began stays one: nodes depend on its addresses. With `besideForeignDhcp` it begins at once. A proxy stays
 * one: while the other server restarts, nobody gives its addresses away.
 *
 * What clients say of a server is reported and looked into, and decides nothing: one forged datagram could end our DHCP.
 * Where no probe can be made, it is all that there is: it makes a proxy of `auto` once two clients have named one server.
 */
export class DhcpStanding {
  readonly #network: NetworkConfig;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #foreign = new Map<Ipv4, Sighting>();
  #began: "server" | "proxy" | undefined;
  #probedAt: number | undefined;
  #trouble: DhcpState["trouble"];
  #drops: Readonly<Drops> | undefined;

  /** `network` is read anew at each question: `besideForeignDhcp` may change at any time. */
  constructor(network: NetworkConfig, clock: Clock, log: Log) {
    this.#network = network;
    this.#clock = clock;
    this.#log = log.child({ component: "dhcp", network: network.name });
  }

  get role(): DhcpRole {
    const { dhcp, besideForeignDhcp } = this.#network;
    if (dhcp === "proxy" || dhcp === "off") return dhcp;
    if (this.#began) return this.#began;
    return dhcp === "server" && besideForeignDhcp ? "server" : "silent";
  }

  /** Whether our leases tell whose an address on this network is. */
  get givesAddresses(): boolean {
    return this.role === "server" || this.#network.dhcp === "server";
  }

  get state(): DhcpState {
    return {
      mode: this.#network.dhcp,
      role: this.role,
      foreign: [...this.#foreign.values()].map(({ namedBy: _, isSure: __, answeredAt: ___, ...server }) => server),
      ...(this.#probedAt === undefined ? {} : { probedAt: this.#probedAt }),
      ...(this.#trouble ? { trouble: this.#trouble } : {}),
      ...(this.#drops ? { drops: this.#drops } : {}),
    };
  }

  /** The server that plays the part counts its drops here, from now on. */
  counts(drops: Readonly<Drops>): void {
    this.#drops = drops;
  }

  /** Another server was seen: it answered a probe, or `client` asked it by name (option 54). Answers whether that is news. */
  saw(address: Ipv4, client?: Mac): boolean {
    if (address === this.#network.address) return false;
    const now = this.#clock.now();
    const known = this.#foreign.get(address);
    // once it has answered a probe, probes tell when it is gone
    const by = client === undefined || known?.by === "probe" ? "probe" : "request";
    if (!known && !this.#makeRoom(by)) return false;
    const namedBy = withClient(known?.namedBy ?? [], client);
    const answeredAt = known?.answeredAt ?? (client === undefined ? now : undefined);
    const isVouched = this.#trouble !== undefined && namedBy.length >= WITNESSES;
    const isSure = known?.isSure || by === "probe" || isVouched;
    this.#foreign.set(address, {
      ...{ address, firstSeenAt: known?.firstSeenAt ?? now, lastSeenAt: now, by },
      ...{ namedBy, isSure },
      ...(answeredAt === undefined ? {} : { answeredAt }),
    });
    const before = this.role;
    const hasAnsweredAgain = client === undefined && answeredAt !== undefined && answeredAt < (this.#probedAt ?? 0);
    const isConfirmed = before !== "server" || isVouched || hasAnsweredAgain;
    if (this.#network.dhcp === "auto" && isSure && isConfirmed) this.#began = "proxy";
    const isNews = !known || isSure !== known.isSure || this.role !== before;
    if (isNews) this.#report(address, isSure, before);
    return isNews;
  }

  /** Whether it matters that the next probe comes soon: nothing is answered, or what was found has to be confirmed. */
  get isUnsettled(): boolean {
    if (this.role === "silent") return true;
    return (
      this.#network.dhcp === "auto" && this.role === "server" && [...this.#foreign.values()].some((one) => one.isSure)
    );
  }

  /** A probe ended, after all that it saw was told, or could not be made (`trouble`). */
  probed(startedAt: number, trouble?: DhcpState["trouble"]): void {
    this.#probedAt = this.#clock.now();
    if (trouble && !this.#trouble) {
      this.#log.warn(trouble, "dhcp: can't look for other DHCP servers; those that clients name are still noticed");
    }
    this.#trouble = trouble;
    if (!trouble) this.#forget(startedAt);
    const isAlone = ![...this.#foreign.values()].some(({ by }) => by === "probe");
    if (this.#began || !isAlone || (this.#network.dhcp !== "server" && this.#network.dhcp !== "auto")) return;
    this.#began = "server";
    this.#log.info("dhcp: no other DHCP server found; serving");
  }

  #forget(probeStartedAt: number): void {
    for (const { address, lastSeenAt, by } of this.#foreign.values()) {
      const isGone = by === "probe" ? lastSeenAt < probeStartedAt : lastSeenAt < this.#clock.now() - FORGET_MS;
      if (!isGone) continue;
      this.#foreign.delete(address);
      this.#log.info({ server: address }, "dhcp: the other DHCP server is gone");
    }
  }

  /** What clients only speak of never crowds out what answers. */
  #makeRoom(by: ForeignServer["by"]): boolean {
    if (this.#foreign.size < MAX_FOREIGN) return true;
    const hearsay = by === "probe" && [...this.#foreign.values()].find((one) => one.by === "request");
    return hearsay ? this.#foreign.delete(hearsay.address) : false;
  }

  #report(server: Ipv4, isSure: boolean, before: DhcpRole): void {
    const { dhcp, besideForeignDhcp } = this.#network;
    if (dhcp === "proxy" || dhcp === "off")
      this.#log.info({ server }, "dhcp: another DHCP server is here, as expected");
    else if (!isSure) this.#log.warn({ server }, "dhcp: a client took another DHCP server's offer; looking for it");
    else if (dhcp === "auto") {
      const what = this.role === "proxy" ? "proxy from now on" : "proxy if it answers once more";
      this.#log.warn({ server, before }, `dhcp: another DHCP server is here; ${what}`);
    } else if (besideForeignDhcp)
      this.#log.warn({ server }, "dhcp: another DHCP server is here; serving beside it, as told");
    else {
      const remedy = FOREIGN_REMEDY;
      const what = before === "server" ? "has come; nodes may get its addresses" : "is here; no address is given out";
      this.#log.error({ server, remedy }, `dhcp: another DHCP server ${what}`);
    }
  }
}

function withClient(clients: readonly Mac[], client: Mac | undefined): readonly Mac[] {
  const isKnown = client === undefined || clients.includes(client) || clients.length >= WITNESSES;
  return isKnown ? clients : [...clients, client];
}

/** What to do about another DHCP server where `dhcp: server` wants to be the only one. */
export const FOREIGN_REMEDY =
  "turn that server off on this network, or set networks[].dhcp to proxy or auto, or besideForeignDhcp to true where they share no addresses";
