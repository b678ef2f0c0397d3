import { describe, expect, it } from "vitest";
import { Unreachable } from "../remote/errors.ts";
import type { RemoteHost, RemoteHosts } from "../remote/host.ts";
import { importGroup } from "./imported.ts";
import { replicationGroup } from "./replicationGroup.ts";
import type { Context } from "./resource.ts";

const markers: Readonly<Record<string, string>> = {
  pg1: "marker orders/pg1 5432 /var/lib/postgresql/17/orders-pg1\nmarker sales/pg1 5433 /srv/sales\n",
  pg2: "marker orders/pg2 5432 /var/lib/postgresql/17/orders-pg2\n",
  witness: "system debian\n",
};

function contextWith(away: readonly string[] = []): { context: Context; said: string[] } {
  const refuse = () => Promise.reject(new Error("not to be done"));
  const host = (name: string): RemoteHost => ({
    name,
    run: refuse,
    must: async () => {
      if (away.includes(name)) throw new Unreachable(name, `${name}: found no answer, expected sshd. Start the host.`);
      return markers[name] ?? "";
    },
    start: refuse,
    socket: refuse,
  });
  const hosts: RemoteHosts = { names: async () => Object.keys(markers), host, close() {} };
  const said: string[] = [];
  const say = (text: string) => void said.push(text);
  return { context: { hosts, cancelled: new AbortController().signal, progress: say, info: say, warn: say }, said };
}

const nowhere: Context = {
  hosts: {
    names: () => Promise.reject(new Error("asked")),
    host: () => {
      throw new Error("asked");
    },
    close() {},
  },
  cancelled: new AbortController().signal,
  ...{ progress() {}, info() {}, warn() {} },
};

const imported = {
  id: "orders",
  inputs: { imported: "orders" },
  outputs: {
    imported: "orders",
    found: {
      pg1: "/var/lib/postgresql/17/orders-pg1 on pg1",
      pg2: "/var/lib/postgresql/17/orders-pg2 on pg2",
    },
  },
};

describe("an import", () => {
  it("finds the members of the named cluster on all declared hosts, and records neither a declaration nor a primary", async () => {
    const { context, said } = contextWith();
    expect(await importGroup(context, "orders")).toEqual(imported);
    expect(said).toEqual([]);
  });

  it("goes on without a host that does not answer, and names it", async () => {
    const { context, said } = contextWith(["pg2"]);
    expect((await importGroup(context, "orders")).outputs).toEqual({
      imported: "orders",
      found: { pg1: "/var/lib/postgresql/17/orders-pg1 on pg1" },
    });
    expect(said).toEqual([
      "orders: not every host could be asked; those found are enough to import it\n  pg2: pg2: found no answer, expected sshd. Start the host.",
    ]);
  });

  it("of a cluster that no host has is refused, with the hosts that could not be asked", async () => {
    const { context } = contextWith(["pg2"]);
    await expect(importGroup(context, "ordres")).rejects.toThrow(
      "ordres: found no member of it on the hosts of pgha:hosts, expected /var/lib/pgha/ordres/MEMBER/marker.json on one of them. The ID is the cluster's name. Data that pgha did not make cannot be imported.\n  pg2: pg2: found no answer, expected sshd. Start the host.",
    );
  });
});

describe("a cluster that was imported and not declared yet", () => {
  it("is read as it is, and forgotten by destroy, without asking any host", async () => {
    expect(await replicationGroup.read(nowhere, { ...imported, imported: false })).toEqual({
      id: "orders",
      outputs: imported.outputs,
    });
    await replicationGroup.delete(nowhere, imported);
  });

  it("is what check takes from an import alone", () => {
    expect(replicationGroup.check(imported.inputs, imported.inputs)).toEqual({ inputs: imported.inputs, faults: [] });
    const { faults } = replicationGroup.check({ ...imported.inputs, cluster: "orders" }, undefined);
    expect(faults[0]?.path).toEqual(["postgresVersion"]);
  });

  it("shows one change when it is declared: that its primary is recorded", () => {
    const { id, inputs: oldInputs, outputs } = imported;
    expect(replicationGroup.diff({ id, oldInputs, outputs, news: {} })).toEqual({ applied: { kind: "add" } });
  });
});
