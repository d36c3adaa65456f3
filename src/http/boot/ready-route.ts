import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { BootAnswers } from "../../boot/boot-answers.ts";
import type { BootEventSink } from "../../boot/boot-event.ts";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import { parseMac } from "../../values/mac.ts";
import { readyFacts } from "./ready-facts.ts";
import { type BootHttp, sourceAddress } from "./source-address.ts";

const MAX_BODY_BYTES = 64 * 1024;

/** What the answer to a phone-home needs. */
export type ReadyRouteParts = {
  network: { name: string };
  answers: BootAnswers;
  emit: BootEventSink;
  log: Log;
  clock: Clock;
};

/**
 * `POST /boot/:mac/ready`: the OS of this machine is up. The body is optional; see `readyFacts`. May be called again.
 * 403 from an address that is not bound to the MAC, 413 beyond 64 KiB, 405 for other methods: a crawler must not report an OS.
 */
export function readyRoute({ network, answers, emit, log, clock }: ReadyRouteParts) {
  const limit = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: (context) => context.text("the body is longer than 64 KiB\n", 413),
  });
  return new Hono<BootHttp>()
    .post("/:mac/ready", limit, async (context) => {
      const mac = parseMac(context.req.param("mac"));
      const address = sourceAddress(context);
      const seen = { mac, at: clock.now(), network: network.name, address };
      if (!answers.reports(mac, address, network.name)) {
        log.warn({ mac, address, network: network.name }, "phone-home refused: address not bound to this MAC");
        emit({ ...seen, stage: "refused", reason: "foreign-address" });
        return context.text(`${address} is not bound to ${mac}: a machine speaks for itself only\n`, 403);
      }
      const facts = readyFacts(await context.req.text(), context.req.header("Content-Type") ?? "");
      emit({ ...seen, stage: "ready", ...(Object.keys(facts).length > 0 ? { facts } : {}) });
      log.info({ mac, address, network: network.name }, "OS ready");
      return context.text("ok\n");
    })
    .all("/:mac/ready", (context) => context.text("use POST\n", 405, { Allow: "POST" }));
}
