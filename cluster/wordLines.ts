/** What a script of ours printed, one "word value" a line: all values of a word, in their order. */
export function readWordLines(text: string): (word: string) => string[] {
  const lines = text.split("\n").map((line) => {
    const space = line.indexOf(" ");
    return { word: line.slice(0, space), value: line.slice(space + 1) };
  });
  return (word) => lines.filter((line) => line.word === word).map(({ value }) => value);
}
