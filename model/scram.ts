import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";

const iterations = 4096;

/**
 * The verifier that PostgreSQL stores for a password (RFC 5803, as in pg_authid.rolpassword). Sending it instead of the
 * password keeps the password out of statements, and so out of every log.
 */
export function scramVerifier(password: string, salt: Buffer): string {
  // SASLprep (RFC 4013) leaves printable ASCII alone; PostgreSQL takes other texts as they are when it fails.
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, 32, "sha256");
  const clientKey = createHmac("sha256", salted).update("Client Key").digest();
  const storedKey = createHash("sha256").update(clientKey).digest("base64");
  const serverKey = createHmac("sha256", salted).update("Server Key").digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${serverKey}`;
}

/** Does the stored verifier belong to this password? */
export function matchesVerifier(password: string, verifier: string | null): boolean {
  const match = /^SCRAM-SHA-256\$4096:([^$]+)\$/.exec(verifier ?? "");
  if (match?.[1] === undefined || verifier === null) return false;
  const expected = Buffer.from(scramVerifier(password, Buffer.from(match[1], "base64")));
  const stored = Buffer.from(verifier);
  return expected.length === stored.length && timingSafeEqual(expected, stored);
}
