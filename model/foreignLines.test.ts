import { expect, it } from "vitest";
import { withoutForeignSecrets } from "./foreignLines.ts";

const declared = "# passwords are scram-sha-256\npassword_encryption = 'scram-sha-256'\n";

it("a file as declared stays as it is", () => {
  expect(withoutForeignSecrets(declared, declared)).toBe(declared);
});

it("what people added stays to be seen, but for lines that may hold a secret", () => {
  const ldap = 'host all all 198.51.100.0/24 ldap ldapbindpasswd="hunter2"';
  const archive = "archive_command = 'S3_SECRET=hunter2 push %p'";
  expect(withoutForeignSecrets(`${declared}work_mem = '8MB'\n${ldap}\n${archive}\n`, declared)).toBe(
    `${declared}work_mem = '8MB'\n${"# (a line written by hand that may hold a secret)\n".repeat(2)}`,
  );
});

it("where nothing is declared, every such line is left out", () => {
  expect(withoutForeignSecrets("ssl_passphrase_command = 'echo hunter2'", undefined)).not.toContain("hunter2");
});
