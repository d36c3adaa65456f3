import { expect, it } from "vitest";
import { passBytes } from "../../../src/net/pass-bytes.ts";

it("keeps the pieces that a stream is done with from piling up", () => {
  let most = 0;
  for (let piece = 0; piece < 4000; piece++) {
    passBytes(Buffer.allocUnsafeSlow(64 * 1024).length);
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  expect(most).toBeLessThan(16 * 1024 ** 2);
});
