import type { z } from "@hono/zod-openapi";
import { describe, expectTypeOf, it } from "vitest";
import type * as cli from "../../../src/cli/answers.ts";
import type { selfSchema, tokenSchema, userSchema } from "../../../src/http/api/views/access-view.ts";
import type { auditSchema, verdictSchema } from "../../../src/http/api/views/audit-view.ts";
import type { bootSchema } from "../../../src/http/api/views/boot-view.ts";
import type { diskSchema } from "../../../src/http/api/views/disk-view.ts";
import type { imageSchema } from "../../../src/http/api/views/image-view.ts";
import type { discoveredSchema, leaseSchema } from "../../../src/http/api/views/network-view.ts";
import type { nodeSchema } from "../../../src/http/api/views/node-view.ts";
import type { operationSchema, operatorRequestSchema } from "../../../src/http/api/views/operation-view.ts";
import type { findingSchema, statusSchema } from "../../../src/http/api/views/system-view.ts";
import type { tenureSchema, usageSchema } from "../../../src/http/api/views/tenure-view.ts";
import type { uploadSchema } from "../../../src/http/api/views/upload-view.ts";

/** Judged by the type checker: the CLI shares no code with the API, so this is what holds the two together. */
describe("what the CLI reads", () => {
  it("is in what the API answers", () => {
    expectTypeOf<z.infer<typeof nodeSchema>>().toExtend<cli.Node>();
    expectTypeOf<z.infer<typeof imageSchema>>().toExtend<cli.Image>();
    expectTypeOf<z.infer<typeof uploadSchema>>().toExtend<cli.Upload>();
    expectTypeOf<z.infer<typeof diskSchema>>().toExtend<cli.Disk>();
    expectTypeOf<z.infer<typeof operationSchema>>().toExtend<cli.Operation>();
    expectTypeOf<z.infer<typeof operatorRequestSchema>>().toExtend<cli.OperatorRequest>();
    expectTypeOf<z.infer<typeof bootSchema>>().toExtend<cli.Boot>();
    expectTypeOf<z.infer<typeof leaseSchema>>().toExtend<cli.Lease>();
    expectTypeOf<z.infer<typeof discoveredSchema>>().toExtend<cli.Discovered>();
    expectTypeOf<z.infer<typeof statusSchema>>().toExtend<cli.Status>();
    expectTypeOf<z.infer<typeof findingSchema>>().toExtend<cli.Finding>();
    expectTypeOf<z.infer<typeof selfSchema>>().toExtend<cli.Self>();
    expectTypeOf<z.infer<typeof tokenSchema>>().toExtend<cli.Token>();
    expectTypeOf<z.infer<typeof auditSchema>>().toExtend<cli.AuditEntry>();
    expectTypeOf<z.infer<typeof verdictSchema>>().toExtend<cli.AuditVerdict>();
    expectTypeOf<z.infer<typeof tenureSchema>>().toExtend<cli.Tenure>();
    expectTypeOf<z.infer<typeof usageSchema>>().toExtend<cli.Usage>();
    expectTypeOf<z.infer<typeof userSchema>>().toExtend<cli.User>();
  });
});
