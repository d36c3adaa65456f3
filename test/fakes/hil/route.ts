import type { Caller, World } from "./world.ts";

/** Names of arguments and their types; a `?` at the end of a type: may be left out. */
export type Shape = Record<string, "string" | "boolean" | "object" | "any" | "string?" | "boolean?" | "object?">;

export type Asked = {
  world: World;
  caller: Caller;
  /** Labels of the path, in their order. */
  path: string[];
  // biome-ignore lint/suspicious/noExplicitAny: checked against the route's shape before it gets here
  args: any;
};

/** An answer other than 200 with JSON, or without anything. */
export class Reply {
  readonly status: number;
  readonly json: unknown;
  readonly location: string | undefined;
  constructor(status: number, { json, location }: { json?: unknown; location?: string } = {}) {
    this.status = status;
    this.json = json;
    this.location = location;
  }
}

export type Route = {
  method: string;
  pattern: RegExp;
  /** Of the body, or of the query of a GET. */
  shape: Shape;
  /** Whether further arguments are fine. */
  open: boolean;
  answer: (asked: Asked) => unknown;
};

/** `:name` is a label without a slash, `*name` one that may have some: HIL looks at a path once it is decoded. */
export function route(
  call: `${"GET" | "PUT" | "POST" | "DELETE" | "PATCH"} /${string}`,
  shape: Shape,
  answer: (asked: Asked) => unknown,
  { open = false }: { open?: boolean } = {},
): Route {
  const [method = "", path = ""] = call.split(" ");
  const pattern = path.replace(/:\w+/g, "([^/]+)").replace(/\*\w+/g, "(.+)");
  return { method, pattern: new RegExp(`^/v0${pattern}$`), shape, open, answer };
}
