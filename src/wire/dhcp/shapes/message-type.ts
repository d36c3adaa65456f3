import { type MessageType, messageTypeName } from "../message-type.ts";
import { u8 } from "./numbers.ts";
import { malformed, type Shape } from "./shape.ts";

/** A message type that has a name. */
export const messageType: Shape<MessageType> = {
  decode(bytes, field) {
    const type = u8.decode(bytes, field);
    if (messageTypeName(type) === undefined) throw malformed(field, `${type} is no message type`);
    return type as MessageType;
  },
  encode: (type, field) => u8.encode(type, field),
  format: (type) => messageTypeName(type) ?? String(type),
};
