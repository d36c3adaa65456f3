import type { Action, Nic, World } from "./world.ts";

/** HIL's `serve-networks`: does what is pending, the oldest first; an unreachable switch is the end of it. */
export class NetworkingDaemon {
  readonly #world: World;
  #running: boolean;
  #round: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  /** Whether a switch refuses this action. */
  refuses: (action: Action) => boolean = () => false;

  constructor(world: World, running: boolean) {
    this.#world = world;
    this.#running = running;
  }

  /** Lets it look every so many milliseconds, as the real one does every 2 s. */
  start(everyMs?: number): void {
    this.#running = true;
    if (everyMs !== undefined) this.#timer ??= setInterval(() => void this.round(), everyMs).unref();
  }

  stop(): void {
    this.#running = false;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once. */
  round(): Promise<void> {
    this.#round = this.#round.then(() => this.#drain());
    return this.#round;
  }

  async #drain(): Promise<void> {
    const pending = [...this.#world.nics()].flatMap(({ nic }) =>
      nic.action?.status === "PENDING" && nic.port ? [{ nic, action: nic.action }] : [],
    );
    for (const { nic, action } of pending.sort((one, other) => one.action.order - other.action.order)) {
      if (!this.#running) return;
      const outcome = this.refuses(action) ? "ERROR" : await this.#ask(nic);
      if (outcome === "DIED") return this.stop();
      if (outcome === "DONE") apply(nic, action);
      action.status = outcome;
    }
  }

  async #ask(nic: Nic): Promise<"DONE" | "ERROR" | "DIED"> {
    const { driver, hostname } = this.#world.switch(nic.port?.switch ?? "");
    if (driver === "mock") return "DONE";
    try {
      return (await fetch(hostname)).ok ? "DONE" : "ERROR";
    } catch {
      return "DIED";
    }
  }
}

function apply(nic: Nic, { type, channel, new_network }: Action): void {
  if (type === "revert_port") nic.networks.clear();
  else if (new_network === null) nic.networks.delete(channel);
  else nic.networks.set(channel, new_network);
}
