import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";

const iterations = 4096;

/**
 * The verifier that PostgreSQL stores for a password (RFC 5803, as in pg_authid.rolpassword). Sending it instead of the
 * password keeps the password out of statements, and so out of every log.
 */
export function scramVerifier(password: string, salt: Buffer): string {
  const salted = pbkdf2Sync(saslprep(password), salt, iterations, 32, "sha256");
  const clientKey = createHmac("sha256", salted).update("Client Key").digest();
  const storedKey = createHash("sha256").update(clientKey).digest("base64");
  const serverKey = createHmac("sha256", salted).update("Server Key").digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${serverKey}`;
}

/**
 * The form of a password that clients and server agree on (RFC 4013): other spaces become a space, invisible characters
 * go, compatibility characters become what they stand for. A text that it forbids is taken as it is, as PostgreSQL does.
 */
export function saslprep(password: string): string {
  const prepared = password.replace(otherSpaces, " ").replace(invisible, "").normalize("NFKC");
  return forbidden.test(prepared) ? password : prepared;
}

/** Tables C.1.2, B.1 and C.2 to C.9 of RFC 3454. */
const otherSpaces = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g;
const invisible = /\u200d|[\u034f\u180b\u180c\u180d\ufe00-\ufe0f\u00ad\u1806\u200c\u2060\ufeff]/gu;
const forbidden =
  /[\u0340\u0341\p{Cc}\p{Cs}\p{Co}\p{Noncharacter_Code_Point}\u06dd\u070f\u180e\u200e\u200f\u2028-\u202e\u2061-\u206f\u2ff0-\u2ffb\ufff9-\uffff\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;

/** Does the stored verifier belong to this password? */
export function matchesVerifier(password: string, verifier: string | null): boolean {
  const match = /^SCRAM-SHA-256\$4096:([^$]+)\$/.exec(verifier ?? "");
  if (match?.[1] === undefined || verifier === null) return false;
  const expected = Buffer.from(scramVerifier(password, Buffer.from(match[1], "base64")));
  const stored = Buffer.from(verifier);
  return expected.length === stored.length && timingSafeEqual(expected, stored);
}
