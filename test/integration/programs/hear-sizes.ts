/** Hears datagrams until one of 7 bytes comes, and prints the sizes as JSON. usage: hear-sizes.ts ADDRESS PORT; prints "ready". */
import dgram from "node:dgram";

const [address = "", port = ""] = process.argv.slice(2);
const sizes: number[] = [];
const socket = dgram.createSocket({ type: "udp4", recvBufferSize: 1024 * 1024 });
socket.on("message", ({ length }) => {
  sizes.push(length);
  if (length !== 7) return;
  console.log(JSON.stringify(sizes));
  socket.close();
});
socket.bind(Number(port), address, () => console.log("ready"));
