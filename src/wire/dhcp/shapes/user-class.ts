import { malformed, type Shape } from "./shape.ts";
import { decodeText, quote } from "./text.ts";

/**
 * User classes (option 77). RFC 3004 wants a length byte before each; iPXE, dhclient's examples and most
 * firmware send bare text, which is then the one class. Bytes that can be read as the RFC says are.
 */
export const userClasses: Shape<string[]> = {
  decode(bytes, field) {
    if (bytes.length === 0) throw malformed(field, "no class");
    const classes: string[] = [];
    for (let offset = 0; offset < bytes.length; ) {
      const end = offset + 1 + bytes[offset]!;
      if (end === offset + 1 || end > bytes.length) return [decodeText(bytes)];
      classes.push(decodeText(bytes.subarray(offset + 1, end)));
      offset = end;
    }
    return classes;
  },
  encode(classes, field) {
    if (classes.length === 0) throw malformed(field, "no class");
    return Buffer.concat(
      classes.map((one) => {
        const bytes = Buffer.from(one, "utf8");
        if (bytes.length === 0 || bytes.length > 255) throw malformed(field, "a class has 1 to 255 bytes");
        return Buffer.concat([Uint8Array.of(bytes.length), bytes]);
      }),
    );
  },
  format: (classes) => classes.map(quote).join(" "),
};
