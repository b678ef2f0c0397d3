import { expect, it } from "vitest";
import { faultText } from "./fault.ts";
import { parsePasswords } from "./passwords.ts";

it("a password of one line is right, and so is none", () => {
  expect(parsePasswords({}).faults).toEqual([]);
  expect(parsePasswords({ superuserPassword: "a b'\\\"ä:", replicationPassword: undefined }).faults).toEqual([]);
});

it("an empty password is a fault, not a missing one", () => {
  expect(parsePasswords({ superuserPassword: "" }).faults.map(faultText)).toEqual([
    "pgha:superuserPassword: found an empty password, expected a password, or no such key. Set it: pulumi config set --secret pgha:superuserPassword. Without the key one is generated.",
  ]);
});

it("all passwords are judged at once, and no fault shows any of them", () => {
  const texts = parsePasswords({ superuserPassword: "hunter2\nx", replicationPassword: "\0hunter3" }).faults.map(
    faultText,
  );
  expect(texts).toEqual([
    "pgha:superuserPassword: found a password of several lines, expected one line. Set it again: pulumi config set --secret pgha:superuserPassword.",
    "pgha:replicationPassword: found a password of several lines, expected one line. Set it again: pulumi config set --secret pgha:replicationPassword.",
  ]);
});

it.each(["\n", "\r", "a\0", "a\r\n"])("a password with %j in it is a fault", (password) => {
  expect(parsePasswords({ replicationPassword: password }).faults).toHaveLength(1);
});
