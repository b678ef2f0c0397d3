const mayHoldSecret = /pass(w|phrase)|secret|credential|token|[a-z]_?key\b/i;

/**
 * A file of a host as the state may keep it: what people wrote into it by hand may hold a secret (an LDAP bind password, the
 * key of an archive), and the state and every diff would show it. Lines that are declared stay as they are.
 */
export function withoutForeignSecrets(text: string, declared: string | undefined): string {
  if (text === declared) return text;
  const ours = new Set(declared?.split("\n"));
  return text
    .split("\n")
    .map((line) =>
      ours.has(line) || !mayHoldSecret.test(line) ? line : "# (a line written by hand that may hold a secret)",
    )
    .join("\n");
}
