import type { Socket } from "node:net";

/**
 * Calls `onLine` with each line that arrives, without its newline. The connection ends with an error when that throws,
 * and when a line is longer than `maxBytes`: it would fill the memory.
 */
export function readLines(socket: Socket, maxBytes: number, onLine: (line: string) => void): void {
  let pieces: Buffer[] = [];
  let pendingBytes = 0;
  socket.on("data", (chunk: Buffer) => {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...pieces, rest.subarray(0, end)]);
      pieces = [];
      pendingBytes = 0;
      rest = rest.subarray(end + 1);
      if (line.length > maxBytes) return tooLong();
      try {
        onLine(line.toString("utf8"));
      } catch (error) {
        socket.destroy(error as Error);
      }
      if (socket.destroyed) return;
    }
    pieces.push(rest);
    pendingBytes += rest.length;
    if (pendingBytes > maxBytes) tooLong();
  });

  function tooLong(): void {
    socket.destroy(new Error(`a message of more than ${maxBytes} bytes`));
  }
}
