/** usage: measure-reads.ts ADDRESS PORT IQN USER SECRET SECONDS: one random read of 4 KiB after the other; prints the 99th percentile in µs. */
import { Initiator } from "../../lab/iscsi/initiator.ts";

const BLOCKS = 8;
const SPREAD = 1024;

const [address = "", port = "", iqn = "", user = "", secret = "", seconds = ""] = process.argv.slice(2);
const initiator = await Initiator.logIn({ address, port: Number(port), iqn, user, secret });
const took: number[] = [];
for (const end = performance.now() + Number(seconds) * 1000; performance.now() < end; ) {
  const began = performance.now();
  await initiator.read(Math.floor(Math.random() * SPREAD) * BLOCKS, BLOCKS);
  took.push(performance.now() - began);
}
took.sort((one, other) => one - other);
console.log(Math.round((took[Math.floor(took.length * 0.99)] as number) * 1000));
process.exit(0);
