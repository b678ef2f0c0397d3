import { UserError } from "../model/fault.ts";

/** Secrets by the name that stands between @@ in the content. */
export type SecretValues = Readonly<Record<string, string>>;

export function placeholderOf(name: string): string {
  return `@@${name}@@`;
}

/** The content as it lies on the host. */
export function revealSecrets(content: string, secrets: SecretValues): string {
  return content.replace(/@@([A-Z][A-Z0-9_]*)@@/g, (placeholder, name: string) => secrets[name] ?? placeholder);
}

/**
 * The live text as it may be shown: every secret is a placeholder again. Where one of them is not found the host has another
 * secret, nobody knows in which place, and nothing of the text is shown.
 */
export function concealSecrets(live: string, content: string, secrets: SecretValues): string {
  if (live === revealSecrets(content, secrets)) return content;
  const longestFirst = Object.entries(secrets).sort(([, a], [, b]) => b.length - a.length);
  const shown = longestFirst.reduce((text, [name, value]) => text.split(value).join(placeholderOf(name)), live);
  const lost = Object.keys(secrets).filter((name) => !shown.includes(placeholderOf(name)));
  if (lost.length === 0) return shown;
  return `(not shown: it differs, and the secret ${lost.join(", ")} in it is another one)\n`;
}

/** What stands between the marks of a block; undefined when there is none. */
export function extractBlock(text: string, name: string): string | undefined {
  const found = findBlock(text.split("\n"), name);
  return found === undefined ? undefined : joinLines(found.lines.slice(found.begin + 1, found.end));
}

/** The text with the block's content in its place, or at the end when it is new. */
export function placeBlock(text: string, name: string, content: string): string {
  const block = [beginMark(name), ...splitLines(content), endMark(name)];
  const found = findBlock(text.split("\n"), name);
  if (found === undefined) return joinLines([...splitLines(text), ...block]);
  return [...found.lines.slice(0, found.begin), ...block, ...found.lines.slice(found.end + 1)].join("\n");
}

/** The text without the block and its marks. */
export function removeBlock(text: string, name: string): string {
  const found = findBlock(text.split("\n"), name);
  if (found === undefined) return text;
  return [...found.lines.slice(0, found.begin), ...found.lines.slice(found.end + 1)].join("\n");
}

function findBlock(
  lines: readonly string[],
  name: string,
): { lines: readonly string[]; begin: number; end: number } | undefined {
  const begin = lines.indexOf(beginMark(name));
  if (begin === -1) return undefined;
  const end = lines.indexOf(endMark(name), begin);
  if (end === -1) {
    throw new UserError(
      `found "${beginMark(name)}" without "${endMark(name)}" after it, expected both. Restore the line, or remove the first.`,
    );
  }
  return { lines, begin, end };
}

function beginMark(name: string): string {
  return `# BEGIN pgha ${name}`;
}

function endMark(name: string): string {
  return `# END pgha ${name}`;
}

function splitLines(text: string): string[] {
  if (text === "") return [];
  return (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
