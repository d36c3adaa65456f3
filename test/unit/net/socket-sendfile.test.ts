import { once } from "node:events";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { ResidentPages } from "../../../src/net/resident-pages.ts";
import { SocketSendfile } from "../../../src/net/socket-sendfile.ts";

afterEach(() => vi.restoreAllMocks());

it.each([
  ["from the page cache", true],
  ["from the disk", false],
])("serves a rack that asks at once %s: no call is refused, and all bytes arrive", async (_, isResident) => {
  if (!isResident) vi.spyOn(ResidentPages, "open").mockReturnValue(undefined);
  const directory = await mkdtemp(join(tmpdir(), "ingot-sendfile-"));
  await writeFile(join(directory, "file"), Buffer.alloc(600, "x"));
  const file = await open(join(directory, "file"));
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  const kernel = SocketSendfile.open(socket, file.fd, 600)!;
  try {
    const sent = await Promise.all(Array.from({ length: 600 }, (_, position) => kernel.send(position, 1)));
    expect(new Set(sent)).toEqual(new Set([1]));
    let received = 0;
    client.on("data", (bytes) => {
      received += bytes.length;
      if (received === 600) client.end();
    });
    await once(client, "close");
    expect(received).toBe(600);
  } finally {
    kernel.close();
    socket.destroy();
    client.destroy();
    server.close();
    await file.close();
    await rm(directory, { recursive: true });
  }
});
