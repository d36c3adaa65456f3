import { z } from "@hono/zod-openapi";
import { holdsEverywhere } from "../../../access/caller.ts";
import type { Api, ApiParts } from "../api.ts";
import { describeRoute } from "../route.ts";
import { moment, momentSchema } from "../views/text.ts";
import { json } from "./answers.ts";

const params = z.object({ node: z.string().openapi({ description: "Name or id" }) });
/** Rights may have changed, and ingotd may be a new one: whoever follows or types asks anew after so long. */
const SESSION_MS = 600_000;

const query = z.strictObject({
  bytes: z.coerce.number().int().min(0).default(65_536).openapi({ description: "At most so many of the last ones" }),
  from: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .openapi({ description: "Instead: from this place on, as far as it is kept" }),
  follow: z
    .enum(["true", "false"])
    .default("false")
    .openapi({ description: "Then what comes, as it comes, for ten minutes at most" }),
});

const stateSchema = z
  .object({
    node: z.string(),
    state: z.enum(["opening", "open", "waiting"]).openapi({ description: "waiting: to be opened anew" }),
    since: momentSchema,
    why: z.string().optional().openapi({ description: "Why it is not open; for those who see all nodes" }),
    remedy: z.string().optional(),
    start: z.int().openapi({ description: "Place of the first byte that is kept" }),
    end: z.int().openapi({ description: "Place of the next byte that comes" }),
  })
  .openapi("Console");

const typedSchema = z.object({ node: z.string(), typedBytes: z.int() }).openapi("Typed");

const routes = {
  state: describeRoute("node:console", {
    method: "get",
    path: "/v1/nodes/{node}/console",
    request: { params },
    responses: { 200: json("Its serial line, and what is kept of it", stateSchema) },
  }),
  output: describeRoute("node:console", {
    method: "get",
    path: "/v1/nodes/{node}/console/output",
    request: { params, query },
    responses: {
      200: {
        description: "What it said, since its project has the node; Ingot-Console-Start is the place of the first byte",
        content: { "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) } },
      },
    },
  }),
  input: describeRoute("node:console", {
    method: "post",
    path: "/v1/nodes/{node}/console/input",
    request: {
      params,
      body: {
        required: true,
        description: "Typed as it comes, for ten minutes at most; the answer comes at its end",
        content: { "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) } },
      },
    },
    responses: { 200: json("What was typed", typedSchema) },
  }),
};

/** Whether a request types, for as long as it lasts. */
export function isTyping({ method, path }: { method: string; path: string }): boolean {
  return method === "POST" && /^\/v1\/nodes\/[^/]+\/console\/input$/.test(path);
}

/** Serial lines of nodes: how they are, what they said and say. */
export function addConsoleRoutes(api: Api, { appliance, consoles, log }: ApiParts): void {
  const { nodes } = appliance;
  api.openapi(routes.state, (c) => {
    const node = nodes.get(c.req.valid("param").node);
    const { state, record } = consoles.of(node);
    const { start, end } = record;
    // it may name the BMC, whose address is the operators' business
    const { why: _why, remedy: _remedy, ...shown } = state;
    const told = holdsEverywhere(c.var.caller, "node:read") ? state : shown;
    return c.json({ node: node.name, ...told, since: moment(state.since), start, end }, 200);
  });
  api.openapi(routes.output, async (c) => {
    const node = nodes.get(c.req.valid("param").node);
    const { bytes, from, follow } = c.req.valid("query");
    const console = consoles.of(node);
    const { start, end } = console.record;
    const first = Math.min(Math.max(start, from ?? end - bytes), end);
    const headers = {
      "Content-Type": "application/octet-stream",
      "Ingot-Console-Start": String(first),
      // what sits between must not wait for more
      "Cache-Control": "no-store",
      "X-Accel-Buffering": "no",
    };
    if (follow === "false") return new Response(new Uint8Array(await console.record.read(first, end)), { headers });
    const gone = new AbortController();
    const signals = [c.req.raw.signal, gone.signal, AbortSignal.timeout(SESSION_MS)];
    const signal = AbortSignal.any([...signals, ...(c.env.stopping ? [c.env.stopping] : [])]);
    const output = console.follow(first, signal);
    c.env.bearSilence?.();
    const stream = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          try {
            const next = await output.next();
            if (next.done) controller.close();
            else controller.enqueue(next.value);
          } catch (error) {
            log.warn({ component: "api", node: node.name, err: error }, "console output broke off");
            controller.error(error);
          }
        },
        cancel: () => gone.abort(),
      },
      { highWaterMark: 0 },
    );
    return new Response(stream, { headers });
  });
  api.openapi(routes.input, async (c) => {
    const node = nodes.get(c.req.valid("param").node);
    const console = consoles.of(node);
    // whoever begins is told at once that nobody is there
    console.type(new Uint8Array());
    c.env.bearSilence?.();
    const reader = c.req.raw.body?.getReader();
    const over = AbortSignal.any([AbortSignal.timeout(SESSION_MS), ...(c.env.stopping ? [c.env.stopping] : [])]);
    const leave = () => void reader?.cancel().catch(() => {});
    over.addEventListener("abort", leave, { once: true });
    let typedBytes = 0;
    try {
      for (;;) {
        const chunk = await reader?.read();
        if (!chunk || chunk.done) break;
        console.type(chunk.value);
        typedBytes += chunk.value.length;
      }
    } finally {
      over.removeEventListener("abort", leave);
      c.set("summary", `console of node ${node.name}: ${typedBytes} bytes typed`);
    }
    return c.json({ node: node.name, typedBytes }, 200);
  });
}
