import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, it } from "vitest";
import { borrowDatagramSocket } from "../../../src/net/borrowed-socket.ts";
import { openRawSocket } from "./raw-socket.ts";

it("can be borrowed again and again, and hears what came in between", async () => {
  const lent = openRawSocket("datagram");
  const sender = createSocket("udp4");
  const say = (text: string) => new Promise((resolve) => sender.send(text, lent.port, "127.0.0.1", resolve));
  for (const text of ["first", "second"]) {
    await say(text);
    const borrowed = await borrowDatagramSocket(lent.fd);
    expect(String((await once(borrowed, "message"))[0])).toBe(text);
    borrowed.close();
    await once(borrowed, "close");
  }
  sender.close();
  lent.close();
  await expect(borrowDatagramSocket(lent.fd)).rejects.toMatchObject({ code: "INTERNAL" });
});
