import { get } from "node:http";
import type { NetworkConfig } from "../../config/schema.ts";
import type { Check, Finding } from "./finding.ts";
import { askTftpSize } from "./tftp-size.ts";

const ANSWER_MS = 3_000;

/** Whether the loaders can really be had: by TFTP and by HTTP, through the sockets that nodes ask at. */
export const bootServerCheck: Check = {
  name: "boot-servers",
  run: async ({ appliance: { config } }, signal) => {
    const files = [...new Set(Object.values(config.loaders).flatMap((names) => names ?? []))];
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const findings = config.networks.map(async (network) => [
      await overTftp(network, files, deadline),
      await overHttp(network, files, deadline),
    ]);
    return (await Promise.all(findings)).flat();
  },
};

type Answer = { file: string; sizeBytes?: number; fault?: string };

async function overTftp(network: NetworkConfig, files: string[], signal: AbortSignal): Promise<Finding> {
  const { address } = network;
  const answers = await Promise.all(
    files.map((file) =>
      askTftpSize(address, file, signal).then(
        (sizeBytes): Answer => ({ file, sizeBytes }),
        (error: Error): Answer => ({ file, fault: signal.aborted ? NO_ANSWER : error.message }),
      ),
    ),
  );
  return judge(`TFTP ${address}:69`, answers, `let udp port 69 in on ${network.interface}`);
}

async function overHttp(network: NetworkConfig, files: string[], signal: AbortSignal): Promise<Finding> {
  const { address, httpPort } = network;
  const answers = await Promise.all(
    files.map((file) =>
      askHttpSize({ host: address, port: httpPort, path: `/assets/${encodeURI(file)}` }, signal).then(
        (sizeBytes): Answer => ({ file, sizeBytes }),
        (error: Error): Answer => ({ file, fault: error.message }),
      ),
    ),
  );
  return judge(`HTTP ${address}:${httpPort}`, answers, `let tcp port ${httpPort} in on ${network.interface}`);
}

function judge(subject: string, answers: Answer[], firewall: string): Finding {
  const about = { check: "boot-servers", subject };
  const bad = answers.filter(({ fault }) => fault !== undefined);
  if (bad.length === 0) return { ...about, state: "ok", message: `serves ${answers.length} loaders` };
  const message = bad.map(({ file, fault }) => `${file}: ${fault}`).join("; ");
  return { ...about, state: "failed", message, remedy: remedyOf(message, firewall) };
}

function remedyOf(message: string, firewall: string): string {
  if (message.includes(NO_ANSWER)) {
    return `a firewall on this machine drops it: ${firewall} (nft list ruleset shows what is there)`;
  }
  if (message.includes(NOBODY)) return "the ports above tell who has it; else look at the log: journalctl -u ingot";
  return "gather the loaders anew (node boot-assets/gather.ts), and look at the log: journalctl -u ingot";
}

const NOBODY = "nobody";
const NO_ANSWER = `no answer within ${ANSWER_MS / 1000} s`;

function askHttpSize(place: { host: string; port: number; path: string }, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = get({ ...place, method: "HEAD", agent: false, signal }, (response) => {
      response.resume();
      const { statusCode, headers } = response;
      if (statusCode === 200) resolve(Number(headers["content-length"]));
      else reject(new Error(`HTTP ${statusCode}`));
    });
    request.on("error", (error: NodeJS.ErrnoException) =>
      reject(new Error(signal.aborted ? NO_ANSWER : `${NOBODY} answers (${error.code})`)),
    );
  });
}
