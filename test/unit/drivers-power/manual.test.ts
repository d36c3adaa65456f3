import { describe, expect, it } from "vitest";
import { createPowerControls } from "../../../src/drivers/power/create-power-controls.ts";
import type { OperatorAction } from "../../../src/drivers/power/manual.ts";

const never = new AbortController().signal;

function operator() {
  const asked: string[] = [];
  let answer: () => Promise<void> = async () => {};
  const controls = createPowerControls({
    confirm: async ({ node, action }: { node: string; action: OperatorAction }) => {
      asked.push(`${node} ${action}`);
      await answer();
    },
  });
  return {
    asked,
    power: () => controls({ driver: "manual", node: "n1" }),
    refuse: () => {
      answer = async () => {
        throw new Error("gave up");
      };
    },
  };
}

describe("manual power", () => {
  it("takes a machine for on until an operator has seen it off", async () => {
    const { power } = operator();
    expect(await power().status(never)).toBe("on");
    await power().off(never);
    expect(await power().status(never)).toBe("off");
    await power().on(never);
    expect(await power().status(never)).toBe("on");
  });

  it("asks for hands each time, also for what was confirmed before", async () => {
    const { power, asked } = operator();
    await power().off(never);
    await power().off(never);
    await power().on(never);
    await power().softOff(never);
    expect(asked).toEqual(["n1 switch-off", "n1 switch-off", "n1 switch-on", "n1 shut-down"]);
  });

  it("forgets what it knew while a question is open, and when nobody answers it", async () => {
    const { power, refuse } = operator();
    await power().off(never);
    refuse();
    await expect(power().on(never)).rejects.toThrow("gave up");
    expect(await power().status(never)).toBe("on");
  });

  it("leaves a machine that is off alone at a reset, and the boot order always", async () => {
    const { power, asked } = operator();
    await power().off(never);
    await power().reset(never);
    await power().setBootDevice("network", "uefi", never);
    expect(asked).toEqual(["n1 switch-off"]);
  });
});
