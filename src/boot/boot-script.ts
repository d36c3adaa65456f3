import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { BootDecision, RefusalReason } from "./boot-decision.ts";
import type { BootEntry } from "./boot-entry.ts";
import { scriptUrl } from "./boot-urls.ts";
import { renderScript, type ScriptTemplates, type ScriptValues } from "./script-template.ts";

/** A script and the template that it came from. The text may hold CHAP secrets. */
export type BootScript = { name: string; text: string };

/** Where the machine asks, and what is known of it there. */
export type ScriptSituation = {
  mac: Mac;
  /** The appliance's address on this network. */
  server: Ipv4;
  httpPort: number;
  /** Name of the network that it asks on. */
  network: string;
  /** What its next request shall carry, where its address proves nothing. */
  token?: string | undefined;
};

const REFUSALS: Record<RefusalReason, string> = {
  "no-loader": "refuse-no-loader",
  "ipxe-lacks-http": "refuse-ipxe",
  "ipxe-lacks-iscsi": "refuse-ipxe",
  "wrong-network": "refuse-wrong-network",
  "mode-unsupported": "refuse-mode-unsupported",
  "boot-loop": "refuse-boot-loop",
  unarmed: "refuse-unarmed",
};

/** The script that carries out a decision. INTERNAL when a value does not fit into a script. */
export function bootScript(templates: ScriptTemplates, decision: BootDecision, situation: ScriptSituation): BootScript {
  switch (decision.kind) {
    case "sanboot":
      return render(templates, "sanboot", situation, {
        ...nodeValues(decision.entry),
        ...sanbootValues(templates, decision.entry),
      });
    case "loader":
      return render(templates, "loader", situation, { file: decision.file });
    case "hold":
      return render(templates, "hold", situation, {});
    case "refuse":
      return render(templates, REFUSALS[decision.reason], situation, decision.entry ? nodeValues(decision.entry) : {});
    default:
      return render(templates, "exit", situation, {});
  }
}

/** The screen for a machine that asks from an address that is not its own. */
export function foreignScript(templates: ScriptTemplates, situation: ScriptSituation): BootScript {
  return render(templates, "foreign", situation, {});
}

function render(
  templates: ScriptTemplates,
  name: string,
  situation: ScriptSituation,
  values: ScriptValues,
): BootScript {
  const { mac, server, network } = situation;
  const again = renderScript(templates, "again.part", { scriptUrl: scriptUrl(situation) });
  return { name, text: renderScript(templates, name, { mac, server, askedOn: network, again, ...values }) };
}

function nodeValues({ nodeName, mode, network }: BootEntry): ScriptValues {
  return { node: nodeName, mode, network };
}

/**
 * One sanboot per portal, tried in turn: with several URIs in one command the iBFT names all of them, and an
 * initramfs that logs in by it waits for the dead ones.
 */
function sanbootValues(templates: ScriptTemplates, entry: BootEntry): ScriptValues {
  const { disk, iqn, initiator, chap, portals } = entry;
  const lun = entry.lun.toString(16); // RFC 4173 5: hexadecimal
  const lines = portals.map(({ address, port }) =>
    renderScript(templates, "sanboot-portal.part", { portal: address, port: String(port), lun, iqn }).trimEnd(),
  );
  return {
    disk,
    initiator,
    user: chap.user,
    secret: chap.secret,
    reverseUser: chap.reverse?.user ?? "",
    reverseSecret: chap.reverse?.secret ?? "",
    portals: lines.join("\n"),
  };
}
