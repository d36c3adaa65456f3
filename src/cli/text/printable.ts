/** Text that can't steer a terminal: machines on the network choose their own host names. Line breaks stay. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, "�");
}
