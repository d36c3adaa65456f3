import { isDeepStrictEqual } from "node:util";
import type { HilAccount } from "../isolation/hil-account.ts";
import { HilClient } from "../isolation/hil-client.ts";
import { Turns } from "../turns.ts";
import { HilPower } from "./hil.ts";
import { IpmiPower } from "./ipmi.ts";
import { createIpmiShared, type IpmiShared } from "./ipmi-commands.ts";
import { type ConfirmByOperator, ManualPower } from "./manual.ts";
import type { BmcAccount, PowerControl } from "./power-control.ts";

export type PowerDependencies = {
  /** How an operator's hands are asked for, where there is no BMC. */
  confirm: ConfirmByOperator;
  /** Deadline of one call to a BMC, once it is its turn. Default 30. */
  callSeconds?: number;
  /** Deadline of one call to the OBMd of HIL, once it is its turn; one takes about 10 s. Default 60. */
  obmSeconds?: number;
  /** Shared with other drivers that speak to the same BMCs; its own by default. */
  ipmi?: IpmiShared;
};

/** The power of the machine behind an account. Cheap: ask anew for each use. */
export type PowerControls = (account: BmcAccount) => PowerControl;

/**
 * Makes the power controls of a process; once, because what is known of a BMC is shared by all who ask for it: whose
 * turn it is, which cipher suite it takes, what an operator confirmed; and how many may ask HIL at a time.
 */
export function createPowerControls({
  confirm,
  callSeconds = 30,
  obmSeconds = 60,
  ipmi = createIpmiShared(callSeconds),
}: PowerDependencies): PowerControls {
  const turns = new Turns();
  const confirmed = new Map<string, "on" | "off">();
  let hil: { account: HilAccount; client: HilClient } | undefined;
  const clientOf = (account: HilAccount) => {
    if (!hil || !isDeepStrictEqual(hil.account, account))
      hil = { account, client: new HilClient(account, { callSeconds }) };
    return hil.client;
  };
  return (account) => {
    if (account.driver === "manual") return new ManualPower(account.node, confirm, confirmed);
    if (account.driver === "ipmi") return new IpmiPower(account, ipmi);
    return new HilPower(account.node, clientOf(account.hil), { turns, obmSeconds });
  };
}
