import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { killTree } from "../support/killTree.ts";
import { onHost, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran, TestStack } from "../support/stack.ts";
import { ageLocks, declareTestCluster, openTestLab } from "../support/testCluster.ts";

let lab: Lab;
const names = ["pg1", "pg2", "pg3"];

beforeAll(async () => {
  lab = await openTestLab(3);
});

/** Who streams to this member: name, address, state, sync state. */
function walSenders(host: string, port = 5432): Promise<string> {
  return sql(
    lab,
    host,
    "select application_name, client_addr, state, sync_state from pg_stat_replication order by 1",
    port,
  );
}

describe("pulumi up from hosts to a cluster", () => {
  let stack: TestStack;
  let created: Ran;
  let processLists = "";

  beforeAll(async () => {
    ({ stack } = await declareTestCluster({ lab, name: "creation" }));
    const running = stack.start("up", "--yes", "--skip-preview");
    let ended = false;
    const watching = names.map(async (host) => {
      while (!ended) processLists += (await lab.insideHost(host, ["ps", "-eww", "-o", "args"], 10)).stdout;
    });
    created = await running.ended;
    ended = true;
    await Promise.all(watching);
  });
  afterAll(async () => await stack?.forget());

  test("the primary is writable and both standbys stream from it over the replication network", async () => {
    expect(created.exitCode, created.output).toBe(0);
    expect(await walSenders("pg1")).toBe(
      names
        .slice(1)
        .map((name) => `${name}|${lab.host(name).addresses.replication}|streaming|quorum`)
        .join("\n"),
    );
    const recovering = await Promise.all(names.map((name) => sql(lab, name, "select pg_is_in_recovery()")));
    expect(recovering).toEqual(["f", "t", "t"]);
  });

  test("commits wait for one of two standbys, checksums are on, passwords are scram", async () => {
    for (const name of names) {
      const settings = await sql(
        lab,
        name,
        `select current_setting('data_checksums'), current_setting('password_encryption'),
           current_setting('wal_segment_size'), current_setting('synchronous_standby_names')`,
      );
      expect(settings).toBe('on|scram-sha-256|1MB|ANY 1 ("pg1", "pg2", "pg3")');
    }
    const verifiers = await sql(
      lab,
      "pg1",
      "select rolname, left(rolpassword, 14) from pg_authid where rolpassword is not null order by 1",
    );
    expect(verifiers).toBe("postgres|SCRAM-SHA-256$\nreplicator|SCRAM-SHA-256$");
  });

  test("nobody is let in without a password or on another name's behalf", async () => {
    for (const name of names) {
      const rules = await sql(
        lab,
        name,
        "select distinct auth_method || coalesce(error, '') from pg_hba_file_rules order by 1",
      );
      expect(rules).toBe("peer\nscram-sha-256");
      const replication = await sql(
        lab,
        name,
        "select address from pg_hba_file_rules where 'replication' = any(database) and type = 'host' order by 1",
      );
      const others = names.filter((other) => other !== name);
      expect(replication.split("\n")).toEqual(others.map((other) => lab.host(other).addresses.replication));
    }
  });

  test("every member keeps a physical slot for every other one, and its unit is enabled and tells when it is ready", async () => {
    for (const name of names) {
      const slots = await sql(lab, name, "select slot_name from pg_replication_slots where slot_type = 'physical'");
      expect(slots.split("\n").sort()).toEqual(names.filter((other) => other !== name).map((other) => `pgha_${other}`));
      const properties = ["show", "-p", "Type,UnitFileState,ActiveState", `pgha-orders-${name}.service`];
      expect((await onHost(lab, name, ["systemctl", ...properties])).split("\n").sort()).toEqual([
        "ActiveState=active",
        "Type=notify",
        "UnitFileState=enabled",
      ]);
    }
  });

  test("a second up and a preview change nothing", async () => {
    const again = await stack.up("--expect-no-changes");
    expect(again.exitCode, again.output).toBe(0);
    const preview = await stack.preview("--expect-no-changes");
    expect(preview.exitCode, preview.output).toBe(0);
  });

  test("no password is readable in state, output, process lists or logs", async () => {
    const superuser = (await stack.outputs()).orders?.superuserPassword ?? "";
    const passfile = await onHost(lab, "pg2", ["cat", "/etc/pgha/orders/pg2/passfile"]);
    const replication = passfile.split(":")[4] ?? "";
    expect([superuser.length, replication.length]).toEqual([32, 32]);
    const texts: Record<string, string> = {
      "the state": await stack.exportState(),
      "what up printed": created.output,
      "the process lists": processLists,
    };
    for (const name of names) {
      texts[`the logs of ${name}`] = await scriptOnHost(
        lab,
        name,
        "journalctl --no-pager -o verbose; cat /var/log/postgresql/orders-*/* /var/log/*.log",
      );
    }
    expect(texts["the process lists"]).toContain("pg_basebackup");
    expect(texts["the logs of pg1"]).toContain("database system is ready to accept connections");
    for (const [where, text] of Object.entries(texts)) {
      for (const password of [superuser, replication]) expect(text.includes(password), where).toBe(false);
    }
  });

  test("a second cluster lives beside the first, two of its instances on one host", async () => {
    await stack.edit(["pgha:clusters", "billing"], {
      postgresVersion: 17,
      members: { one: { host: "pg1", port: 5433 }, two: { host: "pg1", port: 5434 } },
      primary: "two",
      walSegmentSize: "1MB",
    });
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect(await walSenders("pg1", 5434)).toBe(`one|${lab.host("pg1").addresses.replication}|streaming|async`);
    expect((await walSenders("pg1")).split("\n")).toHaveLength(2);
  });
});

describe("a first up that is cut off by a power failure", () => {
  let stack: TestStack;

  beforeAll(async () => {
    await Promise.all(names.map((name) => lab.reset(name)));
    ({ stack } = await declareTestCluster({ lab, name: "interrupted" }));
  });
  afterAll(async () => await stack?.forget());

  /** Starts an up and kills all of it as soon as the look finds something. */
  async function killUpWhen(what: string, look: () => Promise<boolean>): Promise<void> {
    const running = stack.start("up", "--yes", "--skip-preview");
    await waitFor(what, 60, async () => ((await look()) ? true : undefined), 10);
    killTree(running);
    await running.ended;
    // The lock of a process that is gone is taken away by hand, as Pulumi says.
    expect((await stack.pulumi("cancel", "--yes")).exitCode).toBe(0);
    // The dead one's hold on the cluster is respected for 30 s.
    await ageLocks(lab, names, 31);
  }

  async function markers(): Promise<string[]> {
    const one = async (name: string) => {
      const { stdout } = await lab.insideHost(name, ["cat", `/var/lib/pgha/orders/${name}/marker.json`], 5);
      return stdout === "" ? "none" : (JSON.parse(stdout) as { state: string }).state;
    };
    return Promise.all(names.map(one));
  }

  test("killed after initdb and again in the middle of a clone, it is finished by the next up", async () => {
    await killUpWhen("initdb to end", async () => (await markers())[0] === "ready");
    const initialized = await onHost(lab, "pg1", [
      "stat",
      "-c",
      "%i %Y",
      "/var/lib/postgresql/17/orders-pg1/PG_VERSION",
    ]);
    await killUpWhen("a clone to run", async () => {
      const { exitCode } = await lab.insideHost("pg2", ["pgrep", "-x", "pg_basebackup"], 5);
      return exitCode === 0;
    });
    expect((await markers()).slice(0, 2)).toEqual(["ready", "cloning"]);
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect(await markers()).toEqual(["ready", "ready", "ready"]);
    expect((await walSenders("pg1")).split("\n").map((line) => line.split("|")[2])).toEqual(["streaming", "streaming"]);
    expect(await onHost(lab, "pg1", ["stat", "-c", "%i %Y", "/var/lib/postgresql/17/orders-pg1/PG_VERSION"])).toBe(
      initialized,
    );
    const again = await stack.up("--expect-no-changes");
    expect(again.exitCode, again.output).toBe(0);
    expect((await stack.outputs()).orders?.superuserPassword).toHaveLength(32);
  });
});

describe("a user with sudo, and a cluster that grows", () => {
  let stack: TestStack;

  beforeAll(async () => {
    await Promise.all(names.map((name) => lab.reset(name)));
    for (const name of names) await makeUser(name, "deploy ALL=(ALL) NOPASSWD: ALL");
    const declaration = { members: { pg1: {} }, synchronous: "off" };
    ({ stack } = await declareTestCluster({ lab, name: "grows", declaration }));
    await stack.edit(["pgha:ssh", "user"], "deploy");
  });
  afterAll(async () => await stack?.forget());

  async function makeUser(host: string, sudoers: string): Promise<void> {
    await scriptOnHost(
      lab,
      host,
      `useradd --create-home --shell /bin/bash deploy
       install -d -o deploy -g deploy -m 0700 ~deploy/.ssh
       install -o deploy -g deploy -m 0600 /root/.ssh/authorized_keys ~deploy/.ssh/authorized_keys
       echo '${sudoers}' > /etc/sudoers.d/deploy`,
    );
  }

  test("one member is a cluster, made by a user who is not root", async () => {
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect(await sql(lab, "pg1", "create table kept (one int); insert into kept values (1)")).toBe(
      "CREATE TABLE\nINSERT 0 1",
    );
  });

  test("two members and a synchronous rule are added to it without a restart of the primary", async () => {
    const started = await sql(lab, "pg1", "select pg_postmaster_start_time()");
    await stack.edit(["pgha:clusters", "orders", "members"], { pg1: {}, pg2: {}, pg3: {} });
    await stack.edit(["pgha:clusters", "orders", "synchronous"], { quorum: 1 });
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect((await walSenders("pg1")).split("\n").map((line) => line.split("|").slice(2).join(" "))).toEqual([
      "streaming quorum",
      "streaming quorum",
    ]);
    expect(await Promise.all(["pg2", "pg3"].map((name) => sql(lab, name, "select one from kept")))).toEqual(["1", "1"]);
    expect(await sql(lab, "pg1", "select pg_postmaster_start_time()")).toBe(started);
    const again = await stack.up("--expect-no-changes");
    expect(again.exitCode, again.output).toBe(0);
  });
});
