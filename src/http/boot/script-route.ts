import { Hono } from "hono";
import type { BootAnswers } from "../../boot/boot-answers.ts";
import type { BootClient } from "../../boot/boot-client.ts";
import type { BootEventSink } from "../../boot/boot-event.ts";
import { bootScript, foreignScript, type ScriptSituation } from "../../boot/boot-script.ts";
import type { BootTokens } from "../../boot/boot-token.ts";
import type { ScriptTemplates } from "../../boot/script-template.ts";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { Ipv4 } from "../../values/ipv4.ts";
import { type Mac, parseMac } from "../../values/mac.ts";
import { type BootHttp, sourceAddress } from "./source-address.ts";

/** What an answer with a boot script needs. */
export type ScriptRouteParts = {
  network: { name: string; address: Ipv4; httpPort: number };
  answers: BootAnswers;
  /** The client as its DHCP packets of this boot told, if it was heard. */
  clientOf: (mac: Mac) => BootClient | undefined;
  tokens: BootTokens;
  templates: ScriptTemplates;
  emit: BootEventSink;
  log: Log;
  clock: Clock;
};

/**
 * `GET /boot/:mac`: the iPXE script of the machine that asks, and of no other. 400 for what is no MAC;
 * 403 for an address that is not bound to it, as a screen where an iPXE asks: it shows no body of a 403.
 */
export function scriptRoute({ network, answers, clientOf, tokens, templates, emit, log, clock }: ScriptRouteParts) {
  return new Hono<BootHttp>().get("/:mac", (context) => {
    const mac = parseMac(context.req.param("mac"));
    const address = sourceAddress(context);
    const token = context.req.query("token");
    const situation: ScriptSituation = {
      mac,
      server: network.address,
      httpPort: network.httpPort,
      network: network.name,
    };
    const seen = { mac, at: clock.now(), network: network.name, address };
    context.header("Cache-Control", "no-store");

    if (!answers.owns(mac, address, network.name, token)) {
      log.warn({ mac, address, network: network.name }, "script refused: address not bound to this MAC");
      emit({ ...seen, stage: "refused", reason: "foreign-address" });
      const isIpxe = context.req.header("User-Agent")?.startsWith("iPXE/");
      return isIpxe
        ? context.text(foreignScript(templates, situation).text)
        : context.text(`${address} is not bound to ${mac}: a machine is answered about itself only\n`, 403);
    }

    // the machine may show a screen for longer than its token is good
    if (token !== undefined) situation.token = tokens.issue(mac, network.name);
    const decision = answers.answer(askingIpxe(mac, clientOf(mac)), "http", network.name);
    const script = bootScript(templates, decision, situation);
    const why = decision.kind === "loader" && decision.why ? { why: decision.why } : {};
    // who asks in the name of a running node is no stage of that node's boot
    const isUnarmed = decision.kind === "refuse" && decision.reason === "unarmed";
    if (!isUnarmed) emit({ ...seen, stage: "script", file: script.name, ...why, decision: decision.kind });
    if (decision.kind === "refuse") emit({ ...seen, stage: "refused", reason: decision.reason });
    log.info({ mac, address, network: network.name, script: script.name }, "script sent");
    return context.text(script.text);
  });
}

/** Who asks by HTTP is an iPXE that has HTTP; the rest is what it told by DHCP, or assumed where that was not heard. */
function askingIpxe(mac: Mac, heard: BootClient | undefined): BootClient {
  const told = heard?.stage === "ipxe" ? heard : { ...heard, hasIscsi: true };
  return { ...told, mac, stage: "ipxe", hasHttp: true };
}
