import { Agent, request } from "node:http";
import { Initiator, type InitiatorOptions } from "../iscsi/initiator.ts";

/** What a node's iPXE does with its script: the attachment that it names. */
export type Attachment = Required<Pick<InitiatorOptions, "address" | "port" | "iqn" | "initiator" | "user" | "secret">>;

/** GET over a connection of its own from this source address; rejects for any answer but 200. */
export function fetchFrom(localAddress: string, url: string, timeoutMs = 10_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      localAddress,
      agent: new Agent({ keepAlive: false }),
      timeout: timeoutMs,
      headers: { "User-Agent": "iPXE/1.0.0+" },
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer from ${url} within ${timeoutMs / 1000} s`)));
    asked.on("error", reject);
    asked.on("response", async (response) => {
      try {
        const text = (await response.toArray()).join("");
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${url}: ${response.statusCode}: ${text}`));
      } catch (error) {
        reject(error);
      }
    });
    asked.end();
  });
}

/** The attachment in a boot script; undefined when it names none (a screen, or on to the local disk). */
export function readAttachment(script: string): Attachment | undefined {
  const setting = (name: string) => new RegExp(`^set ${name} (\\S+)$`, "m").exec(script)?.[1];
  // RFC 4173 5: iscsi:<server>:<protocol>:<port>:<LUN>:<target>
  const [, address, port, iqn] = /^sanboot .*iscsi:([^:]+)::(\d+):1:(\S+)/m.exec(script) ?? [];
  const [user, secret, initiator] = [setting("username"), setting("password"), setting("initiator-iqn")];
  if (!address || !iqn || !user || !secret || !initiator) return undefined;
  return { address, port: Number(port), iqn, initiator, user, secret };
}

/** A session whose first unit attention, which every new one has, is taken. */
export async function openDisk(attachment: Attachment, localAddress: string): Promise<Initiator> {
  const session = await Initiator.logIn({ ...attachment, localAddress });
  await session.command([0, 0, 0, 0, 0, 0]); // TEST UNIT READY
  return session;
}
