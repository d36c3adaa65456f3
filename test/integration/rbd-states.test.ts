/** What is said of a Ceph cluster that can't be used, and that nothing waits for it for long. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createRbdCommand } from "../../src/drivers/images/rbd/rbd-command.ts";
import type { RbdAccess } from "../../src/drivers/images/rbd/rbd-pool.ts";
import { openRbdStore, shutOutFormer } from "../../src/drivers/images/rbd/rbd-store.ts";
import { type CephCluster, createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";

const STATE = "/var/tmp/ingot-rbd-states";
const UNREACHABLE = { code: "UNAVAILABLE", retryable: true, details: { ceph: "unreachable", remedy: /ceph -s/ } };
const signal = AbortSignal.timeout(300_000);
let cluster: CephCluster;

beforeAll(async () => {
  await destroyEverything(STATE);
  cluster = await createCephCluster(loopbackHost(STATE), { port: 33_900 });
});
afterAll(() => destroyEverything(STATE));

function storeOf(changes: Partial<RbdAccess> = {}) {
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool, ...changes };
  const rbd = createRbdCommand(access);
  const store = openRbdStore({ pool: rbd, access, importDirectories: [STATE], spoolDirectory: join(STATE, "spool") });
  return { store, beforeOpening: shutOutFormer(rbd, access) };
}

/** Every kind of verb: through the monitors alone, and down to the OSDs. */
function verbs(changes?: Partial<RbdAccess>): Record<string, () => Promise<unknown>> {
  const { store, beforeOpening } = storeOf(changes);
  return {
    usage: () => store.usage(signal),
    list: () => store.list(signal),
    clone: () => store.clone("img-none", "disk-none", signal),
    opening: async () => beforeOpening(await store.backing("disk-none"), signal),
  };
}

async function expectEach(
  asked: Record<string, () => Promise<unknown>>,
  wanted: { code: string; retryable: boolean; details: { ceph: string; remedy: RegExp } },
): Promise<void> {
  const { code, retryable, details } = wanted;
  for (const [verb, ask] of Object.entries(asked)) {
    await expect(ask(), verb).rejects.toMatchObject({
      code,
      retryable,
      details: { driver: "rbd", ceph: details.ceph, remedy: expect.stringMatching(details.remedy) },
    });
  }
}

it("a user whose key the cluster does not know is told so", async () => {
  const conf = join(STATE, "wrong-key.conf");
  const keyring = join(STATE, "wrong.keyring");
  await runProgram("ceph-authtool", ["--create-keyring", keyring, "--gen-key", "--name", `client.${cluster.user}`]);
  await writeFile(conf, (await readFile(cluster.conf, "utf8")).replace(/^keyring = .*$/m, `keyring = ${keyring}`));
  const remedy = /pool\.rbd\.user/;
  await expectEach(verbs({ conf }), {
    code: "DRIVER_FAILED",
    retryable: false,
    details: { ceph: "not-authorised", remedy },
  });
});

it("a pool that is not there is named", async () => {
  const { store } = storeOf({ pool: "elsewhere" });
  await expect(store.usage(signal)).rejects.toThrow("there is no pool elsewhere");
});

it("a cluster whose monitor hangs can't be reached, and serves again once it goes on", async () => {
  await cluster.signal("mon", "SIGSTOP");
  await expectEach(verbs(), UNREACHABLE);
  await cluster.signal("mon", "SIGCONT");
  expect(await storeOf().store.list(signal)).toEqual([]);
});
