import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { commandText, killText, quoteWord, quoteWords } from "./commandText.ts";

describe("a word for the remote shell", () => {
  it.each([
    ["plain", "plain"],
    ["/var/lib/postgresql/17/main", "/var/lib/postgresql/17/main"],
    ["", "''"],
    ["two words", "'two words'"],
    ["$HOME `id` \\ *", "'$HOME `id` \\ *'"],
    ["it's", "'it'\\''s'"],
    ["a\nb", "'a\nb'"],
    ["~root", "'~root'"],
    ["Zürich", "'Zürich'"],
  ])("%j is written as %s", (word, quoted) => {
    expect(quoteWord(word)).toBe(quoted);
  });

  it("comes out of a shell as it went in", () => {
    const words = ["", " ", "'", "''", '"', "$(id)", "!x", "*", "a\n\nb\n", "\\", "-n", "ä€😀", "#", "a;b&c|d>e"];
    const script = `printf '%s\\0' ${quoteWords(words)}`;
    expect(execFileSync("sh", ["-c", script]).toString().split("\0").slice(0, -1)).toEqual(words);
  });

  it("cannot contain a NUL character", () => {
    expect(() => quoteWord("a\0b")).toThrow("a command's argument contains a NUL character");
  });
});

describe("the text of a command", () => {
  it("announces its process group and runs under its limit, in a known environment", () => {
    expect(commandText({ argv: ["ls", "a b"], limitSeconds: 5 }, "root")).toBe(
      "exec sh -c 'echo pgha:group=$$ >&2; cd /; " +
        "export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; " +
        "exec timeout -k 2 5 ls '\\''a b'\\'''",
    );
  });

  it("becomes postgres when it should, without a login session", () => {
    expect(commandText({ argv: ["id"], as: "postgres", limitSeconds: 0.5 }, "root")).toBe(
      "exec sh -c 'echo pgha:group=$$ >&2; cd /; " +
        "export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; " +
        "exec timeout -k 2 0.5 setpriv --reuid=postgres --regid=postgres --init-groups --reset-env " +
        "env LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin id'",
    );
  });

  it("goes through sudo without asking when the SSH user is not root", () => {
    expect(commandText({ argv: ["id"], limitSeconds: 5 }, "admin")).toMatch(/^exec sudo -n -- sh -c 'echo pgha:group=/);
    expect(killText(42, "admin")).toBe("exec sudo -n -- sh -c 'kill -s TERM -- -42 2>/dev/null || kill -s TERM -- 42'");
  });
});
