import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hilMisfits } from "../../../src/config/isolation-checks.ts";
import { readHilAccount } from "../../../src/drivers/isolation/hil-account.ts";

const url = "http://hil.example:5000";
let file: string;
beforeAll(() => {
  file = join(mkdtempSync(join(tmpdir(), "hil-account-")), "secret");
  writeFileSync(file, "s3cret\n");
});
afterAll(() => rmSync(join(file, ".."), { recursive: true }));

describe("the account of HIL", () => {
  it("is a user with a password, a token, or nobody", () => {
    const account = { url, credentials: { user: "ingot", password: "s3cret" } };
    expect(readHilAccount({ url, user: "ingot", passwordFile: file })).toEqual(account);
    expect(readHilAccount({ url, tokenFile: file })).toEqual({ url, credentials: { token: "s3cret" } });
    expect(readHilAccount({ url })).toEqual({ url });
  });

  it("is INVALID, with the key to set, without a place or with a file that can't be read", () => {
    const invalid = (field: string) =>
      expect.objectContaining({ code: "INVALID", details: expect.objectContaining({ field }) });
    expect(() => readHilAccount(undefined)).toThrow(invalid("isolation.hil"));
    expect(() => readHilAccount({ url, tokenFile: `${file}-not` })).toThrow(invalid("isolation.hil.tokenFile"));
  });

  it.each([
    [{ user: "ingot" }, ["passwordFile"]],
    [{ passwordFile: "/p" }, ["user"]],
    [{ user: "ingot", passwordFile: "/p", tokenFile: "/t" }, ["tokenFile"]],
    [{ user: "ingot", passwordFile: "/p" }, undefined],
    [{ tokenFile: "/t" }, undefined],
    [{}, undefined],
  ])("is checked in the configuration: %j", (place, path) => {
    expect(hilMisfits(place)[0]?.path).toEqual(path);
  });
});
