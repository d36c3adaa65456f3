import { PASSWORD, startHilRack } from "../../fakes/hil/rack.ts";

/** Runs the doubles of HIL and OBMd until it is ended; says first where HIL is, and the password of its admin. */
const { account } = await startHilRack();
console.log(JSON.stringify({ url: account.url, password: PASSWORD }));
