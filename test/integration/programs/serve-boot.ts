/**
 * The HTTP boot server of one network, over records given as JSON in argv[2]. Prints a line of JSON per boot event,
 * after a first one with the port.
 */
import pino from "pino";
import { leaseOwners } from "../../../src/boot/address-owners.ts";
import { createBootAnswers } from "../../../src/boot/boot-answers.ts";
import { BootArchive } from "../../../src/boot/boot-archive.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { bootFileEvents } from "../../../src/boot/boot-file-events.ts";
import { createBootTokens } from "../../../src/boot/boot-token.ts";
import { loadScriptTemplates } from "../../../src/boot/script-template.ts";
import { Timeline } from "../../../src/boot/timeline.ts";
import { systemClock as clock } from "../../../src/clock.ts";
import type { NetworkConfig } from "../../../src/config/schema.ts";
import { assetsRoute } from "../../../src/http/boot/assets.ts";
import { startHttpBootServer } from "../../../src/http/boot/server.ts";
import type { Change } from "../../../src/store/records.ts";
import { MemoryRecords, nodeFinder } from "../../unit/boot/boot-fixtures.ts";

const { network, loaders, changes, assets, fd, requestsPerAddress } = JSON.parse(process.argv[2]!) as {
  network: NetworkConfig;
  loaders: { bios?: string[] };
  changes: Change[];
  assets: string;
  fd?: number;
  requestsPerAddress?: { most: number; windowMs: number };
};
const records = new MemoryRecords();
await records.commit(changes);
const log = pino({ level: "silent" });
const findNode = nodeFinder(records);
const archive = new BootArchive(records, log);
const timeline = new Timeline({ archive, isNode: (mac) => findNode(mac) !== undefined, clock });
const answers = createBootAnswers({
  findNode,
  owners: leaseOwners(records, clock),
  records,
  config: () => ({ networks: [network], loaders, arming: "rearm" }),
  bootOf: (client, via) => timeline.bootOf(client, via),
  clock,
});
const emit = (event: BootEvent) => {
  timeline.sink(event);
  console.log(JSON.stringify(event));
};

const server = await startHttpBootServer({
  network,
  answers,
  clientOf: (mac) => timeline.current(mac)?.client,
  tokens: createBootTokens(Buffer.alloc(32), clock),
  templates: loadScriptTemplates(),
  assets: assetsRoute(assets),
  onTransfer: bootFileEvents(
    { answers, isLoader: (file) => loaders.bios?.includes(file) ?? false, clock },
    network.name,
    emit,
  ),
  emit,
  log,
  clock,
  ...(fd === undefined ? {} : { fd }),
  ...(requestsPerAddress === undefined ? {} : { requestsPerAddress }),
});
console.log(JSON.stringify({ port: server.port }));
