import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Lab, openLab } from "../../lab/lab.ts";
import { must } from "../../lab/shell.ts";
import { fingerprint, onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran, TestStack } from "../support/stack.ts";
import { declareTestCluster, type TestCluster, touchable } from "../support/testCluster.ts";
import { testLabName } from "../support/testLab.ts";

let lab: Lab;
let declared: TestCluster;
let stack: TestStack;
let keys: string;
const names = ["pg1", "pg2", "pg3"];
const cluster = ["pgha:clusters", "orders"];

beforeAll(async () => {
  lab = await openLab({ name: testLabName, hosts: 3, prepared: true, fresh: true, dataVolumeMegabytes: 900 });
  keys = await mkdtemp(join(tmpdir(), "pgha-bad-hosts-"));
  declared = await declareTestCluster({ lab, name: "bad-hosts" });
  stack = declared.stack;
});
afterAll(async () => {
  await stack?.forget();
  await lab?.down();
  if (keys !== undefined) await rm(keys, { recursive: true, force: true });
});

function fingerprints(): Promise<string[]> {
  return Promise.all(names.map((name) => fingerprint(lab, name)));
}

/** The lines of the one error, whose run failed, showed no stack trace and left every host as it was. */
async function refusalOf(run: () => Promise<Ran>): Promise<string[]> {
  const before = await fingerprints();
  const { exitCode, output } = await run();
  expect(exitCode, output).not.toBe(0);
  const lines = plain(output).split("\n");
  expect(lines.filter((line) => /^\s+at /.test(line))).toEqual([]);
  expect(await fingerprints()).toEqual(before);
  const diagnostics = lines.slice(lines.indexOf("Diagnostics:"));
  const first = diagnostics.findIndex((line) => line.startsWith("    error: ") && !line.endsWith(" failed"));
  const length = diagnostics.slice(first).indexOf("");
  return diagnostics.slice(first, first + length).map((line) => line.trim());
}

async function offeredFingerprint(host: string): Promise<string> {
  const text = await onHost(lab, host, ["ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub"]);
  return text.split(" ")[1] ?? "";
}

describe("before anything is touched", () => {
  test("a missing host key, an unknown and a fixed parameter are told together, by their fields", async () => {
    await stack.edit(["pgha:hosts", "pg1", "hostKey"], undefined);
    await stack.edit([...cluster, "parameters"], { wrok_mem: "8MB", listen_addresses: "*" });
    expect(await refusalOf(() => stack.preview())).toEqual([
      "error: stacks/Pulumi.bad-hosts.yaml: 3 to correct; no host was touched.",
      'pgha:hosts.pg1.hostKey: found nothing, expected a public key such as "ssh-ed25519 AAAA...". Copy the line from /etc/ssh/ssh_host_ed25519_key.pub on the host.',
      "pgha:clusters.orders.parameters.listen_addresses: found a parameter that is fixed here, expected no such line: it is decided by pgha:hosts. Remove it.",
      "pgha:clusters.orders.parameters.wrok_mem: found a parameter that PostgreSQL 17 does not have, expected a parameter of PostgreSQL 17. Correct its spelling or remove it.",
    ]);
    await stack.edit([...cluster, "parameters"], undefined);
  });

  test("a host under another key and a silent one are told together, and who is well", async () => {
    await stack.edit(["pgha:hosts", "pg1", "hostKey"], lab.host("pg2").hostKey);
    await lab.partition("pg2");
    const lines = await refusalOf(() => stack.preview());
    await lab.heal("pg2");
    await stack.edit(["pgha:hosts", "pg1", "hostKey"], lab.host("pg1").hostKey);
    expect(lines).toEqual([
      "error: Preview failed: 2 of 3 hosts cannot be used as declared; nothing was touched:",
      expect.stringContaining(
        `pgha:hosts.pg1.hostKey: found the offered ssh-ed25519 key ${await offeredFingerprint("pg1")} (${lab.host("pg1").hostKey}), expected the declared ssh-ed25519 key ${await offeredFingerprint("pg2")}. `,
      ),
      `pgha:hosts.pg2.address: pg2 (${lab.host("pg2").address}:22): found no answer within 8 s, expected a TCP connection. Check the address, the port, the network and whether the host is up.`,
      "well: pg3 (debian 13)",
    ]);
  });

  test("an SSH key that no host accepts is told with the line that would let it in", async () => {
    const file = join(keys, "id_ed25519");
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
    const [type, blob] = (await must(["cat", `${file}.pub`])).split(" ");
    const shown = (await must(["ssh-keygen", "-lf", file])).split(" ")[1];
    await stack.edit(["pgha:ssh", "privateKeyFile"], file);
    const lines = await refusalOf(() => stack.preview());
    await stack.edit(["pgha:ssh", "privateKeyFile"], lab.keyFile);
    expect(lines).toEqual([
      "error: Preview failed: 3 of 3 hosts cannot be used as declared; nothing was touched:",
      ...names.map(
        (name) =>
          `pgha:ssh.privateKeyFile: ${name}.ssh: found no login as root at ${lab.host(name).address}:22 with the key ${file} (${shown}), expected that sshd accepts it. Add this line to authorized_keys of root there: ${type} ${blob?.trim()}`,
      ),
    ]);
  });

  test("a user without sudo is told with the line that would allow it", async () => {
    for (const name of names) {
      await scriptOnHost(
        lab,
        name,
        `useradd --create-home --shell /bin/bash deploy
         install -d -o deploy -g deploy -m 0700 ~deploy/.ssh
         install -o deploy -g deploy -m 0600 /root/.ssh/authorized_keys ~deploy/.ssh/authorized_keys
         [ ${name} = pg3 ] || echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy`,
      );
    }
    await stack.edit(["pgha:ssh", "user"], "deploy");
    const lines = await refusalOf(() => stack.preview());
    await stack.edit(["pgha:ssh", "user"], "root");
    expect(lines).toEqual([
      "error: Preview failed: 1 of 3 hosts cannot be used as declared; nothing was touched:",
      "pgha:ssh.user: pg3.sudo for deploy: found sudo: a password is required, expected root without a password. Allow it there: echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pgha",
      "well: pg1 (debian 13), pg2 (debian 13)",
    ]);
  });

  test("a foreign database, foreign files, a port in use and a small disk are told together, at preview and at up", async () => {
    const initdb = "/usr/lib/postgresql/17/bin/initdb";
    await scriptOnHost(lab, "pg1", `runuser -u postgres -- ${initdb} -D /var/lib/postgresql/17/orders-pg1`);
    await scriptOnHost(
      lab,
      "pg2",
      `mkdir -p /var/lib/postgresql/17/orders-pg2; echo mine > /var/lib/postgresql/17/orders-pg2/mine
       systemd-run --quiet --unit listener python3 -c '
import socket, signal
listener = socket.socket()
listener.bind(("0.0.0.0", 5432))
listener.listen()
signal.pause()'`,
    );
    await scriptOnHost(lab, "pg3", "fallocate -l 650M /var/lib/postgresql/ballast");
    const faults = [
      "pgha:clusters.orders.members.pg1.dataDirectory: found /var/lib/postgresql/17/orders-pg1 on pg1 holds a database that pgha did not make, expected a missing or empty directory; what is there is never overwritten. Choose another directory, or move away what is there.",
      "pgha:clusters.orders.members.pg2.port: found 5432, which python3 on pg2 listens on, expected a free port. Choose another port, or stop that service.",
      "pgha:clusters.orders.members.pg2.dataDirectory: found /var/lib/postgresql/17/orders-pg2 on pg2 holds files that pgha did not make, expected a missing or empty directory; what is there is never overwritten. Choose another directory, or move away what is there.",
      expect.stringMatching(
        /^pgha:clusters\.orders\.members\.pg3\.dataDirectory: found [12]\d\d MB free on pg3, expected at least 300 MB\. Make room there, or choose a directory on a larger volume\.$/,
      ),
    ];
    const heading = "3 of 3 hosts cannot be used as declared; nothing was touched:";
    expect(await refusalOf(() => stack.preview())).toEqual([`error: Preview failed: ${heading}`, ...faults]);
    expect(await refusalOf(() => stack.up())).toEqual([`error: ${heading}`, ...faults]);
    expect(await onHost(lab, "pg2", ["cat", "/var/lib/postgresql/17/orders-pg2/mine"])).toBe("mine");
  });
});

describe("a member whose data is not what was made there", () => {
  const directory = "/var/lib/postgresql/17/orders-pg2";

  beforeAll(async () => {
    await Promise.all(names.map((name) => lab.reset(name)));
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    await scriptOnHost(
      lab,
      "pg2",
      `systemctl stop pgha-orders-pg2; mv ${directory} /var/lib/postgresql/away
       install -d -o postgres -g postgres -m 0700 ${directory}`,
    );
  });

  test("a volume that is not mounted is told at preview and at up with the way out, and nothing is cloned into the empty place", async () => {
    const text = `pg2: data missing (a volume that is not mounted?): marked ready, but ${directory} is empty. Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json there, and \`pulumi up\` clones it anew`;
    const before = await fingerprints();
    const preview = await stack.preview();
    expect(preview.exitCode, preview.output).toBe(0);
    expect(plain(preview.output)).toContain(`warning: 1 of 3 members unhealthy\n      ${text}\n`);
    expect(await fingerprints()).toEqual(before);
    const up = await stack.up();
    expect(up.exitCode, up.output).not.toBe(0);
    expect(plain(up.output)).toContain(text);
    expect(await onHost(lab, "pg2", ["ls", "-A", directory])).toBe("");
  });

  test("a database with another system identifier stops preview and up, and is left as it is", async () => {
    await scriptOnHost(lab, "pg2", `runuser -u postgres -- /usr/lib/postgresql/17/bin/initdb -D ${directory}`);
    const identifier = async (host: string) => {
      const argv = ["/usr/lib/postgresql/17/bin/pg_controldata", `/var/lib/postgresql/17/orders-${host}`];
      const text = await onHost(lab, host, argv);
      return /system identifier: +(\d+)/.exec(text)?.[1] ?? "";
    };
    const [own, foreign] = [await identifier("pg1"), await identifier("pg2")];
    const text = `orders: members belong to different databases: pg1 has system identifier ${own}, pg2 has system identifier ${foreign}, pg3 has system identifier ${own}.`;
    const up = await refusalOf(() => stack.up());
    expect(up.slice(0, 4)).toEqual([
      `error: ${text}`,
      "Nothing was touched.",
      "If an address leads to another host, or another volume is mounted: correct pgha:hosts, or mount the right one.",
      "If that data is to be given up: take its member out of members:, or empty its data directory and remove its marker.",
    ]);
    expect((await refusalOf(() => stack.preview()))[0]).toBe(`error: Preview failed: ${text}`);
  });

  test("once the data is back, up brings the member back", async () => {
    await scriptOnHost(lab, "pg2", `rm -r ${directory}; mv /var/lib/postgresql/away ${directory}`);
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect(await sql(lab, "pg1", "select count(*) from pg_stat_replication where state = 'streaming'")).toBe("2");
  });

  test("a standby under another host key stops preview and up, one that is only silent does not", async () => {
    const [old, file] = [await offeredFingerprint("pg3"), "/etc/ssh/ssh_host_ed25519_key"];
    await scriptOnHost(
      lab,
      "pg3",
      `mkdir /root/old && mv ${file}* /root/old && ssh-keygen -q -t ed25519 -N '' -f ${file}`,
    );
    await scriptOnHost(lab, "pg3", "systemctl restart ssh");
    const told = [
      "orders: 1 of 3 members cannot be asked, because their hosts have other keys than declared. Nothing was touched.",
      `pg3.hostKey: found the offered ssh-ed25519 key ${await offeredFingerprint("pg3")} (`,
      `expected the declared ssh-ed25519 key ${old}. `,
    ];
    const before = await touchable(declared);
    const ran = [await stack.preview(), await stack.up()];
    expect(await touchable(declared)).toEqual(before);
    await scriptOnHost(lab, "pg3", `mv -f /root/old/* /etc/ssh && systemctl restart ssh`);
    for (const { exitCode, output } of ran) {
      expect(exitCode, output).not.toBe(0);
      for (const text of told) expect(plain(output)).toContain(text);
    }
    await lab.partition("pg3");
    const cutOff = await stack.preview();
    await lab.heal("pg3");
    expect(cutOff.exitCode, cutOff.output).toBe(0);
    expect(plain(cutOff.output)).toContain("warning: 1 of 3 members unreachable; nothing is changed there");
    expect((await stack.preview()).exitCode).toBe(0);
  });

  test("a clone that was cut off is begun anew only where there is room for it", async () => {
    // As a clone that was cut off leaves it: PG_VERSION is there, the marker is not ready, both name one token.
    await scriptOnHost(
      lab,
      "pg2",
      `systemctl stop pgha-orders-pg2
       python3 -c 'import os; os.setxattr("${directory}", "user.pgha.token", b"t1")'
       marker=/var/lib/pgha/orders/pg2/marker.json
       sed -i 's/"ready"/"cloning","token":"t1"/; s/"systemIdentifier":"[0-9]*",//' $marker
       rm -r ${directory}/base ${directory}/pg_wal
       fallocate -l $(($(df -P -B1 ${directory} | awk 'NR==2 {print $4}') - 10000000)) /var/lib/postgresql/ballast`,
    );
    const refused = await refusalOf(() => stack.preview());
    expect(refused).toEqual([
      "error: Preview failed: Nothing was touched:",
      expect.stringMatching(
        /^pgha:clusters\.orders\.members\.pg2\.dataDirectory: found [\d.]+ MB free on pg2, and [\d.]+ [kM]B held by an unfinished clone, expected at least \d+ MB for a clone\. Make room there, or choose a directory on a larger volume\.$/,
      ),
    ]);
    await onHost(lab, "pg2", ["rm", "/var/lib/postgresql/ballast"]);
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect(await sql(lab, "pg1", "select count(*) from pg_stat_replication where state = 'streaming'")).toBe("2");
  });
});
