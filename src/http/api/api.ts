import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Caller } from "../../access/caller.ts";
import type { AuditLog } from "../../audit/audit-log.ts";
import type { BootSession } from "../../boot/boot-session.ts";
import type { DiscoveredMachine } from "../../boot/discovered.ts";
import type { Config } from "../../config/schema.ts";
import type { Consoles } from "../../consoles/consoles.ts";
import type { ErrorCode } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Appliance } from "../../operations/appliance.ts";
import type { Uploads } from "../../operations/uploads.ts";
import type { Mac } from "../../values/mac.ts";

/** What the routes answer from. */
export type ApiParts = {
  appliance: Appliance;
  uploads: Uploads;
  audit: AuditLog;
  /** Serial lines of nodes. */
  consoles: Pick<Consoles, "of">;
  /** The boots of a NIC, newest first. */
  boots: { boots(mac: Mac): readonly BootSession[] };
  /** Machines that nobody registered. */
  discovered: { list(): DiscoveredMachine[] };
  config: Config;
  /** Where the configuration was read from. */
  configFile: string;
  /** The appliance's version. */
  version: string;
  log: Log;
};

/** What a request carries through the middleware. */
export type ApiEnvironment = {
  Bindings: {
    /** Who is at the other end of the unix socket; undefined on TCP, where a token must tell. */
    localCaller?: Caller | undefined;
    /** Where a request on TCP comes from. */
    source?: string | undefined;
    /** Ends the connection that the request came on. */
    cutOff?: (() => void) | undefined;
    /** Lets the connection live while nothing moves on it, until this request is answered. */
    bearSilence?: (() => void) | undefined;
    /** Aborted when the API stops: nobody is kept waiting then. */
    stopping?: AbortSignal | undefined;
  };
  Variables: {
    requestId: string;
    caller: Caller;
    /** What went wrong, as the audit log has it. */
    failure?: ErrorCode;
    /** What was done, for the audit log, where the path does not tell it. */
    summary?: string;
  };
};

export type Api = OpenAPIHono<ApiEnvironment>;
