/** Option 52 tells that `file`, `sname` or both hold options (RFC 2132 9.3). Decoder and encoder use it up between them. */
export const OVERLOAD = 52;

/** Bits of its value. */
export const OVERLOADED = { file: 1, sname: 2 } as const;
