import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { ApplianceError } from "../../errors.ts";
import { HilIsolator } from "./hil.ts";
import { type HilAccount, type HilPlace, readHilAccount } from "./hil-account.ts";
import { HilClient } from "./hil-client.ts";
import type { NetworkIsolator } from "./network-isolator.ts";
import { NoIsolator } from "./none.ts";
import { OvsIsolator, type OvsIsolatorOptions } from "./ovs.ts";
import { Ovsdb, type OvsdbAddress } from "./ovsdb.ts";

/** Which isolator there is, and where: the part of the configuration that tells. */
export type IsolatorPlace = {
  driver: "none" | "hil" | "ovs";
  changeSeconds: number;
  hil?: HilPlace | undefined;
  ovs?: (OvsPlace & Pick<OvsIsolatorOptions, "bridge" | "vlans">) | undefined;
};

type OvsPlace = {
  socket?: string | undefined;
  host?: string | undefined;
  port: number;
  caFile?: string | undefined;
  certificateFile?: string | undefined;
  keyFile?: string | undefined;
};

/** Answers the isolator as the configuration is now, the same one as long as that is so; and how to end it. */
export type Isolators = { isolator: () => NetworkIsolator; close: () => Promise<void> };

/**
 * The isolator of a process: what an isolator keeps of changes under way is shared by all who ask. `cabling`: the ports of a
 * switch that nodes are cabled to, by the isolator's names of nodes. The isolator fails with INVALID where a file with a
 * secret can't be read.
 */
export function createIsolators(place: IsolatorPlace, cabling: OvsIsolatorOptions["nodes"]): Isolators {
  const { driver, ovs } = place;
  if (driver === "ovs" && ovs) {
    const ovsdb = new Ovsdb({ address: ovsdbAddress(ovs) });
    const { bridge, vlans } = ovs;
    const isolator = new OvsIsolator({ ovsdb, bridge, vlans, nodes: cabling, applySeconds: place.changeSeconds });
    return { isolator: () => isolator, close: () => ovsdb.close() };
  }
  if (driver === "hil") return { isolator: hilIsolators(place), close: async () => {} };
  const none = new NoIsolator();
  return { isolator: () => none, close: async () => {} };
}

/** A new one whenever another account is configured: the former one's changes go on with the old. */
function hilIsolators(place: IsolatorPlace): () => NetworkIsolator {
  let last: { account: HilAccount; actionSeconds: number; isolator: NetworkIsolator } | undefined;
  return () => {
    const account = readHilAccount(place.hil);
    const { changeSeconds: actionSeconds } = place;
    if (last && last.actionSeconds === actionSeconds && isDeepStrictEqual(last.account, account)) return last.isolator;
    const isolator = new HilIsolator(new HilClient(account), { actionSeconds });
    last = { account, actionSeconds, isolator };
    return isolator;
  };
}

function ovsdbAddress(ovs: OvsPlace): OvsdbAddress {
  if (ovs.socket !== undefined) return { socket: ovs.socket };
  const tls = {
    ca: readPem(ovs, "caFile"),
    certificate: readPem(ovs, "certificateFile"),
    key: readPem(ovs, "keyFile"),
  };
  return { host: ovs.host as string, port: ovs.port, tls };
}

function readPem(ovs: OvsPlace, key: "caFile" | "certificateFile" | "keyFile"): string {
  const file = ovs[key] as string;
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const field = `isolation.ovs.${key}`;
    throw new ApplianceError("CONFIG_INVALID", `${field}: the file can't be read`, {
      cause,
      details: { field, value: file, driver: "ovs", remedy: "let the user that runs ingotd read it (mode 0400)" },
    });
  }
}
