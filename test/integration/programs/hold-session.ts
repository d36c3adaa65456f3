/** usage: hold-session.ts ADDRESS PORT IQN USER SECRET: logs in and holds the session: it answers pings and sends none. */
import { Initiator } from "../../lab/iscsi/initiator.ts";

const [address = "", port = "", iqn = "", user = "", secret = ""] = process.argv.slice(2);
await Initiator.logIn({ address, port: Number(port), iqn, user, secret });
console.log("logged in");
setInterval(() => {}, 60_000);
