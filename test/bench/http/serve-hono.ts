/** A bare Hono route that answers with a text of BYTES bytes. usage: serve-hono.ts ADDRESS PORT BYTES; prints "ready". */
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";

const [hostname = "", port = "", bytes = ""] = process.argv.slice(2);
const text = "x".repeat(Number(bytes));
const app = new Hono().get("/boot/:mac", (context) => context.text(text));
createAdaptorServer({ fetch: app.fetch }).listen(Number(port), hostname, () => console.log("ready"));
