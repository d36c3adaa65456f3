import type { PowerControl } from "../../src/drivers/power/power-control.ts";

/** A machine that obeys at once. `onPowerOn` lets a test play what it does then. */
export class MemoryPower implements PowerControl {
  state: "on" | "off" = "off";
  bootDevice: "network" | "disk" = "disk";
  /** Whether the OS obeys the power button. */
  obeysSoftOff = true;
  onPowerOn: () => void = () => {};

  async status(): Promise<"on" | "off"> {
    return this.state;
  }

  async on(): Promise<void> {
    if (this.state === "on") return;
    this.state = "on";
    this.onPowerOn();
  }

  async off(): Promise<void> {
    this.state = "off";
  }

  async softOff(): Promise<void> {
    if (this.obeysSoftOff) this.state = "off";
  }

  async reset(): Promise<void> {
    this.state = "on";
    this.onPowerOn();
  }

  /** What its BMC logged. */
  restartedAt: number | undefined;

  async sinceRestart(): Promise<number | undefined> {
    return this.restartedAt === undefined ? undefined : (Date.now() - this.restartedAt) / 1000;
  }

  async setBootDevice(device: "network" | "disk"): Promise<void> {
    this.bootDevice = device;
  }
}
