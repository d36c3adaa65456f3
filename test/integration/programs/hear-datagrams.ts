/**
 * Opens one socket per `interface=address:port` argument, prints `ready`, then `<interface> <sender> <text>` for each
 * datagram, and answers it with `seen on <interface>`. Errors are printed as `error <code>`.
 */
import { isApplianceError } from "../../../src/errors.ts";
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import { parseIpv4 } from "../../../src/values/ipv4.ts";

try {
  for (const argument of process.argv.slice(2)) {
    const [name = "", address = "", port = ""] = argument.split(/[=:]/);
    const socket = await openInterfaceSocket({
      interface: name,
      address: parseIpv4(address),
      port: Number(port),
      broadcast: true,
    });
    socket.on("message", (text, from) => {
      console.log(`${name} ${from.address} ${text}`);
      socket.send(`seen on ${name}`, from.port, "255.255.255.255");
    });
  }
  console.log("ready");
} catch (error) {
  console.log(`error ${isApplianceError(error) ? error.code : error}`);
}
