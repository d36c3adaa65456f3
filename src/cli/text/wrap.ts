/** The text in lines of at most `width`, broken at blanks; lines after the first are indented. A longer word stays whole. */
export function wrap(text: string, width: number, indent: number): string {
  const [first = "", ...words] = text.split(" ");
  const lines: string[] = [];
  let line = first;
  for (const word of words) {
    if (line.trim() === "" || line.length + 1 + word.length <= width) {
      line = `${line} ${word}`;
    } else {
      lines.push(line);
      line = " ".repeat(indent) + word;
    }
  }
  return [...lines, line].join("\n");
}
