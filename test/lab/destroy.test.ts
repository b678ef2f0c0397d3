import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { fingerprint, onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran, TestStack } from "../support/stack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;
let stack: TestStack;
const names = ["pg1", "pg2", "pg3"];

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "destroy" });
  stack = cluster.stack;
  await sql(lab, "pg1", "create table kept (one int)");
  await sql(lab, "pg1", "insert into kept values (1)");
});
afterAll(async () => await cluster?.close());

function succeeded(run: Ran): void {
  expectExit(run, 0);
}

/** "active enabled" of every member's unit. */
function units(): Promise<string[]> {
  return Promise.all(
    names.map(async (name) => {
      const unit = `pgha-orders-${name}.service`;
      const { stdout } = await lab.insideHost(name, ["systemctl", "show", "-p", "ActiveState,UnitFileState", unit], 10);
      const values = Object.fromEntries(stdout.split("\n").map((line) => line.split("=")));
      return `${values.ActiveState} ${values.UnitFileState}`;
    }),
  );
}

function dataDirectory(member: string): string {
  return `/var/lib/postgresql/17/orders-${member}`;
}

describe("onDestroy: keep, the default", () => {
  test("destroy forgets the cluster, and it runs on as it was", async () => {
    const started = await sql(lab, "pg1", "select pg_postmaster_start_time()");
    const destroyed = await stack.destroy();
    succeeded(destroyed);
    expect(plain(destroyed.output)).toContain("orders runs on: onDestroy is keep, Pulumi only forgets it");
    expect(await units()).toEqual(["active enabled", "active enabled", "active enabled"]);
    expect(await sql(lab, "pg1", "select pg_postmaster_start_time()")).toBe(started);
    expect(await sql(lab, "pg1", "select count(*) from pg_stat_replication where state = 'streaming'")).toBe("2");
  });

  test("a later up takes it over again without touching it", async () => {
    const started = await sql(lab, "pg1", "select pg_postmaster_start_time()");
    succeeded(await stack.up());
    succeeded(await stack.up("--expect-no-changes"));
    expect(await sql(lab, "pg1", "select pg_postmaster_start_time(), one from kept")).toBe(`${started}|1`);
  });
});

describe("onDestroy: stop", () => {
  test("it counts from the last up, and preview says so", async () => {
    await cluster.declare("onDestroy", "stop");
    const preview = await stack.preview();
    succeeded(preview);
    expect(plain(preview.output)).toContain(
      'onDestroy counts from the last `up`\n      Until this one ran, `pulumi destroy` does "keep"; afterwards "stop".\n',
    );
    succeeded(await stack.up());
  });

  test("destroy stops every instance for good, and leaves the data", async () => {
    succeeded(await stack.destroy());
    expect(await units()).toEqual(["inactive disabled", "inactive disabled", "inactive disabled"]);
    for (const name of names) {
      expect(await onHost(lab, name, ["cat", `${dataDirectory(name)}/PG_VERSION`])).toBe("17");
    }
  });
});

describe("onDestroy: erase", () => {
  beforeAll(async () => {
    succeeded(await stack.up());
    // Somebody else's files, beside ours.
    await scriptOnHost(
      lab,
      "pg1",
      "mkdir -p /var/lib/postgresql/17/other; echo mine > /var/lib/postgresql/17/other/mine",
    );
  });

  test("it is refused without the cluster's name as confirmation", async () => {
    await cluster.declare("onDestroy", "erase");
    const preview = await stack.preview();
    expect(preview.exitCode).not.toBe(0);
    expect(plain(preview.output)).toContain(
      "pgha:clusters.orders.eraseConfirmation: found nothing, expected orders, the cluster's name, because onDestroy: erase removes its data. Write eraseConfirmation: orders, or another onDestroy.\n",
    );
    await cluster.declare("eraseConfirmation", "orders");
    succeeded(await stack.up());
    expect(await units()).toEqual(["active enabled", "active enabled", "active enabled"]);
    expect(await sql(lab, "pg2", "select one from kept")).toBe("1");
  });

  test("a member that holds another database is never erased, and stops the whole erasure", async () => {
    await scriptOnHost(
      lab,
      "pg3",
      `systemctl stop pgha-orders-pg3; mv ${dataDirectory("pg3")} /var/lib/postgresql/away; install -d -o postgres -g postgres -m 0700 ${dataDirectory("pg3")}
       runuser -u postgres -- /usr/lib/postgresql/17/bin/initdb -D ${dataDirectory("pg3")}`,
    );
    const control = ["/usr/lib/postgresql/17/bin/pg_controldata", dataDirectory("pg3")];
    const foreign = /system identifier: +(\d+)/.exec(await onHost(lab, "pg3", control))?.[1];
    const own = await sql(lab, "pg1", "select system_identifier from pg_control_system()");
    const before = await Promise.all(names.map((name) => fingerprint(lab, name)));
    const destroyed = await stack.destroy();
    expect(destroyed.exitCode).not.toBe(0);
    expect(plain(destroyed.output)).toContain(
      `Nothing was touched:\n      pgha:clusters.orders.members.pg3.dataDirectory: found the database with system identifier ${foreign}, expected ${own}, the cluster's own; what belongs to others is never erased. Take the member out of members:, or write onDestroy: keep, and run \`pulumi up\` first.\n`,
    );
    expect(await Promise.all(names.map((name) => fingerprint(lab, name)))).toEqual(before);
    await scriptOnHost(
      lab,
      "pg3",
      `rm -r ${dataDirectory("pg3")}; mv /var/lib/postgresql/away ${dataDirectory("pg3")}`,
    );
  });

  test("destroy removes data, markers, configuration and units, and nothing else", async () => {
    succeeded(await stack.destroy());
    for (const name of names) {
      const left = await scriptOnHost(
        lab,
        name,
        `find ${dataDirectory(name)} /etc/pgha /var/lib/pgha /etc/systemd/system -name '*pgha*' -o -path '*orders*' | sort`,
      );
      expect(left).toBe(dataDirectory(name));
    }
    expect(await onHost(lab, "pg1", ["cat", "/var/lib/postgresql/17/other/mine"])).toBe("mine");
    expect(await onHost(lab, "pg1", ["ls", "-A", dataDirectory("pg1")])).toBe("");
  });

  test("afterwards up makes a new cluster in the same places", async () => {
    succeeded(await stack.up());
    expect(await sql(lab, "pg3", "select count(*) from pg_class where relname = 'kept'")).toBe("0");
  });
});

describe("a delete command of a host, when the key is a file", () => {
  const commands = ["pgha:hosts", "pg1", "commands"];
  const command = (name: string) => ({ create: `touch /root/${name}`, delete: `rm /root/${name}` });

  function left(): Promise<string> {
    return scriptOnHost(lab, "pg1", "cd /root; ls one two 2>/dev/null || true");
  }

  test("it runs when up finds that the command was taken off the list", async () => {
    await stack.edit(commands, { one: command("one"), two: command("two") });
    succeeded(await stack.up());
    expect(await left()).toBe("one\ntwo");
    await stack.edit([...commands, "one"], undefined);
    succeeded(await stack.up());
    expect(await left()).toBe("two");
  });

  test("it runs at destroy, although no program runs then", async () => {
    succeeded(await stack.destroy());
    expect(await left()).toBe("");
    expect(await onHost(lab, "pg1", ["ls", "-A", dataDirectory("pg1")])).toBe("");
  });
});
