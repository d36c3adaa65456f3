/** usage: watch-peers.ts PORT: prints the TCP connections to a port of this namespace at every line that it reads. */
import { createInterface } from "node:readline";
import { tcpPort } from "../../../src/net/tcp-peers.ts";

const port = Number(process.argv[2]);
createInterface({ input: process.stdin }).on("line", () => console.log(JSON.stringify(tcpPort(port).peers)));
