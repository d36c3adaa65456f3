import { describe, expect, it } from "vitest";
import { parseBmcUrl } from "../../../src/cli/bmc-url.ts";
import { isApplianceError } from "../../../src/errors.ts";

describe("the address of a BMC", () => {
  it("names user, host and port", () => {
    expect(parseBmcUrl("ipmi://admin@10.0.0.7")).toEqual({ driver: "ipmi", user: "admin", address: "10.0.0.7" });
    expect(parseBmcUrl("ipmi://root@bmc-7.lab:6230/")).toMatchObject({ address: "bmc-7.lab", port: 6230 });
    expect(parseBmcUrl("ipmi://a%40b@h")).toMatchObject({ user: "a@b" });
  });

  it("names a node of HIL", () => {
    expect(parseBmcUrl("hil://rack3-07")).toEqual({ driver: "hil", hilNode: "rack3-07" });
  });

  it.each([
    "hil://",
    "hil://user@node",
    "hil://a/b",
    "admin@10.0.0.7",
    "redfish://admin@h",
    "ipmi://10.0.0.7",
    "ipmi://admin@",
    "ipmi://admin@h:x",
    "ipmi://a@b@c",
  ])("refuses %s and says how to write it", (text) => {
    expect(() => parseBmcUrl(text)).toThrow(expect.objectContaining({ code: "INVALID" }));
  });

  it("refuses a password and does not repeat it", () => {
    let caught: unknown;
    try {
      parseBmcUrl("ipmi://admin:hunter2@10.0.0.7");
    } catch (error) {
      caught = error;
    }
    expect(isApplianceError(caught, "INVALID")).toBe(true);
    expect(JSON.stringify({ ...(caught as Error), message: (caught as Error).message })).not.toContain("hunter2");
  });
});
