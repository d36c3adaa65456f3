import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from "jose";

type Key = GenerateKeyPairResult & { kid: string; alg: string };

/** An OpenID Connect issuer on loopback: discovery document, keys, and tokens that it signs. */
export class Issuer {
  readonly asked: string[] = [];
  readonly keys: Key[] = [];
  /** What it calls itself, where that is not its address. */
  claimsToBe: string | undefined;
  /** Instead of its answers. */
  failure: number | undefined;
  /** The path that fails; all do by default. */
  failing: string | undefined;
  #server: Server | undefined;
  #port = 0;

  async start(): Promise<this> {
    this.#server = createServer((request, response) => {
      this.asked.push(request.url ?? "");
      void this.#answer(request.url ?? "").then((answer) => {
        const fails = this.failing === undefined || this.failing === request.url;
        response.writeHead((fails ? this.failure : undefined) ?? (answer ? 200 : 404), {
          "content-type": "application/json",
        });
        response.end(JSON.stringify(answer ?? {}));
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** A new key that it signs with from now on; `retire`: it publishes no others any more. */
  async rotate({ alg = "ES256", retire = false }: { alg?: string; retire?: boolean } = {}): Promise<Key> {
    const key = { ...(await generateKeyPair(alg, { extractable: true })), kid: `key-${this.keys.length}-${alg}`, alg };
    if (retire) this.keys.length = 0;
    this.keys.push(key);
    return key;
  }

  /** A token for Ingot, good for a minute from `now`, but for what is said. */
  sign(now: number, claims: Record<string, unknown> = {}, key = this.keys.at(-1)): Promise<string> {
    if (!key) throw new Error("the issuer has no key");
    const at = Math.floor(now / 1000);
    return new SignJWT({ iss: this.url, aud: "ingot", sub: "ada", iat: at, exp: at + 60, ...claims })
      .setProtectedHeader({ alg: key.alg, ...(key.kid === "" ? {} : { kid: key.kid }) })
      .sign(key.privateKey);
  }

  async #answer(path: string): Promise<unknown> {
    if (path === "/.well-known/openid-configuration")
      return { issuer: this.claimsToBe ?? this.url, jwks_uri: `${this.url}/keys` };
    if (path !== "/keys") return undefined;
    const keys = this.keys.map(async ({ publicKey, kid, alg }) => ({ ...(await exportJWK(publicKey)), kid, alg }));
    return { keys: await Promise.all(keys) };
  }
}
