import { expect, it } from "vitest";
import { Unreachable } from "../remote/errors.ts";
import type { RemoteHosts } from "../remote/host.ts";
import type { SqlSession } from "../remote/postgres.ts";
import { group, member } from "../test/support/shapes.ts";
import { accessDeclared } from "./access.ts";
import { planRemovals, retireRemoved } from "./retire.ts";

const refuse = (name: string) => () => Promise.reject(new Unreachable(name, `${name}: no answer`));
const hosts: RemoteHosts = {
  names: async () => [],
  host: (name) => ({ name, run: refuse(name), must: refuse(name), start: refuse(name), socket: refuse(name) }),
  close() {},
};
const before = group({ members: [member("pg1"), member("pg2"), member("pg-3"), member("pg3")] });
const now = group({ members: [member("pg1"), member("pg2")] });

it("those that were declared before and are not any more are removed; without any, there is nothing to say", async () => {
  expect(accessDeclared(now, undefined, hosts).removed).toBeUndefined();
  expect(accessDeclared(now, now, hosts).removed).toBeUndefined();
  expect(await planRemovals(accessDeclared(now, now, hosts))).toEqual([]);
  const planned = await planRemovals(accessDeclared(now, before, hosts));
  expect(planned.map((removal) => [removal.member, removal.kind, removal.unreached])).toEqual([
    ["pg-3", "leave", true],
    ["pg3", "leave", true],
  ]);
});

it("what a removed member of a host that does not answer still streams is ended, until nobody holds its slot", async () => {
  const access = accessDeclared(now, before, hosts);
  const held = [["pgha_pg3"], ["pgha_pg3"], []];
  const asked: unknown[] = [];
  const session = {
    select: async (_schema: unknown, statement: string, values: unknown) => {
      expect(statement).toContain("pg_terminate_backend(active_pid)");
      asked.push(values);
      return (held.shift() ?? []).map((slot_name) => ({ slot_name }));
    },
    close: async () => undefined,
  } as unknown as SqlSession;
  const said: string[] = [];
  const say = (text: string) => void said.push(text);
  await retireRemoved(
    access,
    { ...access.member("pg1"), connect: async () => session },
    { progress: say, info: say, warn: say, cancelled: new AbortController().signal },
  );
  expect(asked).toEqual(Array(3).fill([["pgha_pg_3", "pgha_pg3"]]));
  expect(said).toEqual([]);
});
