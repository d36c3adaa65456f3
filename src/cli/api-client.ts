import { readFileSync } from "node:fs";
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { ApplianceError, ERROR_KINDS, type ErrorCode } from "../errors.ts";

/** Where the API is: the local unix socket, or a URL with a token. */
export type Place =
  | { socket: string }
  | { url: URL; token: string }
  | { url: URL; user: string; password: string }
  | { url: URL; keystoneToken: string };

/** How the place was named on the command line and in the environment. */
export type PlaceOptions = { socket?: string; url?: string; tokenFile?: string };

const DEFAULT_SOCKET = "/run/ingot/api.sock";
/** Longer than the API takes for any answer: a long poll takes 60 s, a BMC as long. */
const SILENCE_MS = 90_000;
const PROBE_MS = 30_000;

/** The place that the options and the environment name. INVALID for a URL that is none, or comes without a token. */
export function findPlace(options: PlaceOptions, environment: NodeJS.ProcessEnv): Place {
  if (options.url === undefined) return { socket: options.socket ?? environment.INGOT_SOCKET ?? DEFAULT_SOCKET };
  const url = findUrl(options.url);
  const { INGOT_TOKEN, INGOT_USER, INGOT_PASSWORD_FILE, INGOT_KEYSTONE_TOKEN } = environment;
  const token = options.tokenFile === undefined ? INGOT_TOKEN : readSecretFile("--token-file", options.tokenFile);
  if (!token && INGOT_USER && INGOT_PASSWORD_FILE) {
    return { url, user: INGOT_USER, password: readSecretFile("INGOT_PASSWORD_FILE", INGOT_PASSWORD_FILE) };
  }
  if (!token && INGOT_KEYSTONE_TOKEN) return { url, keystoneToken: INGOT_KEYSTONE_TOKEN };
  if (!token) {
    throw new ApplianceError("UNAUTHENTICATED", "--url needs a token", {
      details: {
        remedy:
          "name its file with --token-file, or set INGOT_TOKEN, or INGOT_USER and INGOT_PASSWORD_FILE; ingot login gets one with a password",
      },
    });
  }
  return { url, token };
}

/** The URL of an API. INVALID for one that is none. */
export function findUrl(text = ""): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new ApplianceError("INVALID", `--url: "${text}" is no http or https URL`, {
    details: { field: "--url", value: text, remedy: "write it like http://127.0.0.1:8470" },
  });
}

/** RFC 6750 2.1, RFC 7617 2; HIL and keystone have a header of their own. */
function authorizationOf(place: Place): Record<string, string> {
  if ("keystoneToken" in place) return { "X-Auth-Token": place.keystoneToken };
  if ("token" in place) return { Authorization: `Bearer ${place.token}` };
  if (!("user" in place)) return {};
  return { Authorization: `Basic ${Buffer.from(`${place.user}:${place.password}`).toString("base64")}` };
}

/** One appliance's API. Every call fails with the problem that the API answered, or UNAVAILABLE when nobody does. */
export class ApiClient {
  readonly #place: Place;
  readonly #silenceMs: number;

  /** `silenceMs`: for so long the API may say and take nothing. */
  constructor(place: Place, silenceMs = SILENCE_MS) {
    this.#place = place;
    this.#silenceMs = silenceMs;
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.#ask<T>("GET", path, undefined, signal);
  }

  post<T>(path: string, body?: object): Promise<T> {
    return this.#ask<T>("POST", path, body);
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.#ask<T>("PUT", path, body);
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.#ask<T>("PATCH", path, body);
  }

  /** Sends bytes as they come, however long their source pauses; once there is an answer, the source is destroyed. */
  send<T>(path: string, headers: Record<string, string>, body?: NodeJS.ReadableStream): Promise<T> {
    return this.#ask<T>("PUT", path, body, undefined, { "Content-Type": "application/octet-stream", ...headers });
  }

  /** Sends what is typed as it is typed, until its end. */
  type<T>(path: string, body: NodeJS.ReadableStream): Promise<T> {
    return this.#ask<T>("POST", path, body, undefined, { "Content-Type": "application/octet-stream" });
  }

  delete<T = undefined>(path: string): Promise<T> {
    return this.#ask<T>("DELETE", path);
  }

  /** The headers that a GET would have. */
  async head(path: string): Promise<IncomingHttpHeaders> {
    const { headers, body } = await this.#open("HEAD", path, {});
    body.resume();
    return headers;
  }

  /** Content as a stream, with its status: 200, 206 or 416. Silence of a minute and a half breaks it off. */
  async fetch(
    path: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; headers: IncomingHttpHeaders; body: IncomingMessage }> {
    const answer = await this.#open("GET", path, headers);
    if (answer.status < 400 || answer.status === 416) return answer;
    throw readProblem(answer.status, (await Array.fromAsync(answer.body.setEncoding("utf8"))).join(""));
  }

  /** What comes as it comes, however long the pauses, until its end or the signal. */
  async stream(path: string, signal: AbortSignal): Promise<{ headers: IncomingHttpHeaders; body: IncomingMessage }> {
    const answer = await this.#open("GET", path, {}, { timeout: 0, signal });
    // a host that is gone without a word
    answer.body.socket.setKeepAlive(true, PROBE_MS);
    if (answer.status < 400) return answer;
    throw readProblem(answer.status, (await Array.fromAsync(answer.body.setEncoding("utf8"))).join(""));
  }

  async #open(method: string, path: string, headers: Record<string, string>, own: RequestOptions = {}) {
    const place = this.#place;
    const options = { ...this.#options(method, path, headers), ...own };
    try {
      const body = await send(place, options, undefined);
      return { status: body.statusCode ?? 0, headers: body.headers, body };
    } catch (error) {
      throw describeSilence(place, error as NodeJS.ErrnoException);
    }
  }

  #options(method: string, path: string, headers: Record<string, string>): RequestOptions {
    const place = this.#place;
    return {
      method,
      path,
      timeout: this.#silenceMs,
      headers: { ...headers, ...authorizationOf(place) },
      ...("socket" in place ? { socketPath: place.socket } : {}),
    };
  }

  async #ask<T>(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal,
    own: Record<string, string> = body ? { "Content-Type": "application/json" } : {},
  ): Promise<T> {
    const place = this.#place;
    const headers = { Accept: "application/json", ...own };
    const options = { ...this.#options(method, path, headers), ...(signal ? { signal } : {}) };
    let response: IncomingMessage;
    let text: string;
    try {
      response = (await send(place, options, body)).setEncoding("utf8");
      text = (await Array.fromAsync(response)).join("");
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw describeSilence(place, error as NodeJS.ErrnoException);
    }
    const status = response.statusCode ?? 0;
    if (status >= 400) throw readProblem(status, text);
    return (text === "" ? undefined : parseJson(text, status)) as T;
  }
}

function send(place: Place, options: RequestOptions, body: object | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const onAnswer = (response: IncomingMessage) => resolve(response);
    const request =
      "socket" in place
        ? httpRequest(options, onAnswer)
        : (place.url.protocol === "https:" ? httpsRequest : httpRequest)(place.url, options, onAnswer);
    request.on("error", reject);
    const onSilence = () => request.destroy(new Error(`silent for ${(options.timeout ?? 0) / 1000} s`));
    if (body instanceof Readable) sendStream(request, body, onSilence);
    else request.on("timeout", onSilence).end(body && JSON.stringify(body));
  });
}

function sendStream(request: ClientRequest, body: Readable, onSilence: () => void): void {
  body.on("error", (error) => request.destroy(error)).pipe(request);
  request.on("socket", (socket) => {
    // a request tells of the first silence alone
    const look = () => {
      const waitsForSource = !body.readableEnded && request.writableLength === 0;
      if (!waitsForSource) onSilence();
    };
    socket.on("timeout", look);
    request.on("close", () => socket.off("timeout", look));
  });
  request.on("response", (response) => {
    // the API takes no more of it then, and an open source would keep the process
    response.on("end", () => request.writableFinished || request.destroy());
  });
  // at the error already: a source that nobody holds back any more would run on
  for (const end of ["error", "close"]) request.on(end, () => body.destroy());
}

function describeSilence(place: Place, cause: NodeJS.ErrnoException): ApplianceError {
  const where = "socket" in place ? place.socket : place.url.origin;
  const reason = cause.code ?? cause.message;
  if (cause.code === "EACCES") {
    return new ApplianceError("FORBIDDEN", `${where} may not be used by you`, {
      details: { remedy: "use sudo, or join the group that owns it (ls -l shows it)" },
      cause,
    });
  }
  const remedy =
    "socket" in place
      ? "is ingotd running? systemctl status ingot; name another socket with --socket or INGOT_SOCKET"
      : "is ingotd running there, with api.listen.port or api.tokenFile in its configuration?";
  return new ApplianceError("UNAVAILABLE", `nobody answers on ${where} (${reason})`, { details: { remedy }, cause });
}

function readProblem(status: number, text: string): ApplianceError {
  const problem = parseJson(text, status) as { detail?: string; code?: string; [fact: string]: unknown };
  const { detail = `the API answered ${status}`, code = "INTERNAL", ...rest } = problem;
  const known = code in ERROR_KINDS ? (code as ErrorCode) : "INTERNAL";
  return new ApplianceError(known, detail, { details: rest });
}

function parseJson(text: string, status: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ApplianceError("UNAVAILABLE", `what answers (${status}) is not Ingot's API`, {
      details: { remedy: "see who listens there" },
      cause,
    });
  }
}

function readSecretFile(field: string, path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ApplianceError("INVALID", `${field}: ${path} can't be read (${code})`, {
      details: { field, value: path, remedy: "name the file that holds the secret" },
      cause,
    });
  }
}
