import { expect, it } from "vitest";
import { mirrorsOf, sourcesList } from "./machine.ts";

const listed = `http://mirror.example/debian/ Debian
http://mirror.example/debian/ Debian
http://mirror.example/debian-security/ Debian-Security
`;

it("hosts are made from the machine's own Debian archive", () => {
  expect(sourcesList("trixie", mirrorsOf(listed, {}))).toEqual([
    "deb http://mirror.example/debian trixie main",
    "deb http://mirror.example/debian trixie-updates main",
    "deb http://mirror.example/debian-security trixie-security main",
  ]);
});

it("an archive of another folder is known by its label, and one without a label by its folder", () => {
  expect(mirrorsOf("http://mirror.example/main Debian\nhttp://mirror.example/safe/ Debian-Security\n", {})).toEqual({
    debian: "http://mirror.example/main",
    security: "http://mirror.example/safe",
  });
  expect(mirrorsOf("http://mirror.example/debian/ \nhttp://mirror.example/debian-security/ \n", {})).toEqual({
    debian: "http://mirror.example/debian",
    security: "http://mirror.example/debian-security",
  });
});

it("what the environment names goes first", () => {
  const environment = {
    PGHA_LAB_MIRROR: "http://other.example/debian",
    PGHA_LAB_SECURITY_MIRROR: "http://other.example/debian-security",
  };
  expect(mirrorsOf(listed, environment)).toEqual({
    debian: "http://other.example/debian",
    security: "http://other.example/debian-security",
  });
});

it("without a security archive hosts do without its updates", () => {
  expect(sourcesList("trixie", mirrorsOf("http://mirror.example/debian/ Debian\n", {}))).toEqual([
    "deb http://mirror.example/debian trixie main",
    "deb http://mirror.example/debian trixie-updates main",
  ]);
});

it("a machine that has no Debian archive says what to set", () => {
  const mirrors = mirrorsOf("http://mirror.example/ubuntu/ Ubuntu\n", {});
  expect(mirrors).toEqual({ debian: undefined, security: undefined });
  expect(() => sourcesList("trixie", mirrors)).toThrow(
    "lab: found no Debian archive in this machine's apt sources, expected one to make the hosts from. Name one: export PGHA_LAB_MIRROR=http://HOST/debian (and PGHA_LAB_SECURITY_MIRROR=http://HOST/debian-security).",
  );
});
