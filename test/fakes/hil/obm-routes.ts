import { Reply, type Route, route, type Shape } from "./route.ts";
import { blocked, type Node, requireProject } from "./world.ts";

/** HIL does nothing of it itself: it has OBMd make a token, and sends whoever asks there. */
export const obmRoutes: Route[] = [
  route("PUT /node/:node/obm", { enabled: "boolean" }, async ({ world, caller, path: [name = ""], args }) => {
    const node = world.node(name);
    requireProject(caller, node.project);
    if (args.enabled) node.token = ((await token("POST", node)) as { token: string }).token;
    else if (node.token !== undefined) {
      await token("DELETE", node);
      delete node.token;
    }
  }),
  sentOn("GET /node/:node/power_status"),
  sentOn("POST /node/:node/power_on"),
  sentOn("POST /node/:node/power_off"),
  sentOn("POST /node/:node/power_cycle", { force: "boolean?" }),
  sentOn("PUT /node/:node/boot_device", { bootdev: "string" }),
  sentOn("GET /node/:node/console"),
];

function sentOn(call: Parameters<typeof route>[0], shape: Shape = {}): Route {
  const verb = call.slice(call.lastIndexOf("/"));
  return route(call, shape, ({ world, caller, path: [name = ""] }) => {
    const node = world.node(name);
    requireProject(caller, node.project);
    if (node.token === undefined) blocked("OBM is not enabled");
    return new Reply(307, { location: `${node.obmd.uri}${verb}?token=${node.token}` });
  });
}

async function token(method: "POST" | "DELETE", { obmd }: Node): Promise<unknown> {
  const authorization = `Basic ${Buffer.from(`admin:${obmd.admin_token}`).toString("base64")}`;
  const answer = await fetch(`${obmd.uri}/token`, { method, headers: { authorization } });
  if (!answer.ok) throw new Error("OBMError");
  return method === "POST" ? await answer.json() : undefined;
}
