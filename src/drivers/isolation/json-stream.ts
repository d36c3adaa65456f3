import { ApplianceError } from "../../errors.ts";

/** Cuts a stream of JSON objects that follow each other without a separator (RFC 7047, section 4) into texts of one each. */
export class JsonStream {
  readonly #maxChars: number;
  #pending = "";
  #at = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor(maxChars: number) {
    this.#maxChars = maxChars;
  }

  /** The objects that `text` ends. DRIVER_FAILED for one that is too long, or for what is no object. */
  push(text: string): string[] {
    this.#pending += text;
    const objects: string[] = [];
    let start = 0;
    for (; this.#at < this.#pending.length; this.#at++) {
      if (!this.#endsObject(this.#pending[this.#at]!)) continue;
      objects.push(this.#pending.slice(start, this.#at + 1));
      start = this.#at + 1;
    }
    this.#pending = this.#pending.slice(start);
    this.#at -= start;
    if (this.#pending.length > this.#maxChars) throw refused(`an answer of more than ${this.#maxChars} characters`);
    return objects;
  }

  #endsObject(char: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (char === "\\") this.#escaped = true;
      else if (char === '"') this.#inString = false;
      return false;
    }
    if (this.#depth === 0 && char !== "{" && !/\s/.test(char)) throw refused("what is no JSON object");
    if (char === '"') this.#inString = true;
    if (char === "{" || char === "[") this.#depth++;
    return (char === "}" || char === "]") && --this.#depth === 0;
  }
}

function refused(what: string): ApplianceError {
  return new ApplianceError("DRIVER_FAILED", `OVSDB sent ${what}`, {
    details: { driver: "ovs", remedy: "check that the address is that of an ovsdb-server" },
  });
}
