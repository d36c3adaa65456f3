import pino from "pino";

/** The log as the rest of the code sees it: a fixed phrase, facts as fields. */
export type Log = pino.Logger;

/** Field names that never reach the log, at any of the first three depths. */
const SECRET_KEYS = ["password", "secret", "chapSecret", "reverseSecret", "token", "authorization"];

/**
 * The root logger: JSON lines on standard output (or `destination`), secrets
 * redacted by key. Use `log.child({ component })` per part.
 */
export function createLog(level: string, destination?: pino.DestinationStream): Log {
  const paths = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);
  const options: pino.LoggerOptions = {
    level,
    redact: { paths, censor: "[redacted]" },
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  return destination ? pino(options, destination) : pino(options);
}
