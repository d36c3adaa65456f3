import { PASSWORD, startHilRack } from "../../fakes/hil/rack.ts";

/**
 * Runs the doubles of HIL and OBMd until it is ended; says first where HIL is, and the password of its admin. HIL's port may be
 * its argument.
 */
const [, , port] = process.argv;
const { account } = await startHilRack({ daemonMs: 50, ...(port === undefined ? {} : { port: Number(port) }) });
console.log(JSON.stringify({ url: account.url, password: PASSWORD }));
