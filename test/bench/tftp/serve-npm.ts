/** The npm package `tftp` as a server. usage: serve-npm.ts ADDRESS PORT ROOT; prints "ready". */
import { createRequire } from "node:module";

type NpmTftp = {
  createServer(options: { host: string; port: number; root: string; denyPUT: boolean }): {
    on(event: string, listener: (...words: unknown[]) => void): void;
    listen(): void;
  };
};

const tftp: NpmTftp = createRequire(import.meta.url)("tftp");
const [host = "", port = "", root = ""] = process.argv.slice(2);
const server = tftp.createServer({ host, port: Number(port), root, denyPUT: true });
// without a listener, the end of a client ends the process
server.on("error", () => {});
server.on("listening", () => console.log("ready"));
server.listen();
