import { describe, expect, it } from "vitest";
import { matchesVerifier, saslprep, scramVerifier } from "./scram.ts";

/** pg_authid.rolpassword as PostgreSQL 15.18 itself made it. */
const fromPostgres: readonly (readonly [string, string])[] = [
  [
    "pencil",
    "SCRAM-SHA-256$4096:dxFVvsHm605ejRCELv/6pw==$0gf3NNC4JIg7R9M2tdQwvtSP6EbT5fB4tvf0EybOb7w=:DUXg5h90w7R6BcUWek1Qs2nWNlbZcPV0XBZLKt4+hBQ=",
  ],
  [
    "pässword ½ Ⅸ",
    "SCRAM-SHA-256$4096:a0ddLLjRMY5c2Hx9NX2QZg==$9WER0aJTxNnmDcZRagAbIfz/DE71Hn2OxaSd1NqlZ0k=:dK1x81qbqqf/q/u69Q+OOXRCtdhJHSN57fIp9hKfoYk=",
  ],
];

describe("the verifier of a password", () => {
  it("is computed as in RFC 5802, with the salt of RFC 7677's example", () => {
    expect(scramVerifier("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"))).toBe(
      "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    );
  });

  it.each(fromPostgres)("is what PostgreSQL makes of %s", (password, verifier) => {
    const salt = Buffer.from(verifier.split(/[:$]/)[2] ?? "", "base64");
    expect(scramVerifier(password, salt)).toBe(verifier);
  });
});

describe("a stored verifier", () => {
  it.each(fromPostgres)("belongs to %s and to no other password", (password, verifier) => {
    expect(matchesVerifier(password, verifier)).toBe(true);
    expect(matchesVerifier(`${password} `, verifier)).toBe(false);
    expect(matchesVerifier("", verifier)).toBe(false);
  });

  it.each([
    ["no password at all", null],
    ["an md5 hash", "md5d2f0b0a9dc8f4b0c2b2a3b3b7f7c7a11"],
    ["a verifier with another number of rounds", fromPostgres[0]?.[1].replace("$4096:", "$8192:") ?? ""],
    ["a verifier that was cut off", fromPostgres[0]?.[1].slice(0, -1) ?? ""],
    ["an empty text", ""],
  ])("never matches when it is %s", (_, verifier) => {
    expect(matchesVerifier("pencil", verifier)).toBe(false);
  });
});

// Each of these was set by its verifier in PostgreSQL 15.18, and psql logged in with it.
it.each([
  ["printable ASCII stays", "a\\b $1 'x'", "a\\b $1 'x'"],
  ["other spaces become a space", "a\u00a0b\u200bc", "a b c"],
  ["invisible characters go", "soft\u00adhyphen\u200djoin\ufe0f", "softhyphenjoin"],
  ["compatibility characters become what they stand for", "ﬁ Ⅸ", "fi IX"],
  ["composed letters are preferred", "a\u0308", "\u00e4"],
  ["a forbidden character leaves the whole text alone", "a\u0007b ﬁ", "a\u0007b ﬁ"],
  ["a line separator is forbidden", "ﬁ\u2028x", "ﬁ\u2028x"],
  ["a private character is forbidden", "ﬁ\ue000", "ﬁ\ue000"],
])("in a password, %s", (_, password, prepared) => {
  expect(saslprep(password)).toBe(prepared);
});
