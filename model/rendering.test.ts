import { describe, expect, it } from "vitest";
import { group, member } from "../test/support/shapes.ts";
import { supportedVersions } from "./declaration.ts";
import { memberPaths } from "./names.ts";
import { parameterContext, parameterFaults } from "./parameters.ts";
import {
  deadPeerOptions,
  primaryConninfo,
  renderConfiguration,
  renderHba,
  renderIdent,
  renderPostgresqlConf,
  renderRejoinUnit,
  renderRelaxUnit,
  renderRole,
  renderUnit,
  steadyRole,
  synchronousStandbyNames,
} from "./rendering.ts";

const orders = group({
  parameters: { work_mem: "64MB", log_line_prefix: "%m 'x' \\ ", "pg_stat_statements.max": "100" },
  clientNetworks: ["198.51.100.0/24"],
  synchronous: { quorum: 1 },
  socketUsers: ["deploy"],
});
const pg1 = member("pg1");

/** The lines that say something. */
function settings(text: string): string[] {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

it("postgresql.conf: ours, then what is declared, then the role", () => {
  expect(renderPostgresqlConf(orders, pg1)).toBe(`# PostgreSQL 17, cluster orders, member pg1.
# Written whole by pgha: edit the stack file instead; a change made here is shown by the next preview and undone.

# --- where this instance is
# the declared addresses of this host, and the host itself; no other one is opened
listen_addresses = '127.0.0.1, ::1, 198.51.100.11, 203.0.113.11'
# instances on one host differ by it
port = 5432
# pgha and local administrators come in here, by peer authentication
unix_socket_directories = '/var/run/postgresql'
# outside the data directory, so that a clone does not bring another member's
hba_file = '/etc/pgha/orders/pg1/pg_hba.conf'
# likewise
ident_file = '/etc/pgha/orders/pg1/pg_ident.conf'
# the member's name in logs, in ps, and as application_name of its wal receiver
cluster_name = 'pg1'

# --- authentication
# the only method that neither stores nor sends anything that opens the door
password_encryption = 'scram-sha-256'

# --- replication: every member can be primary or standby with the same settings
# standbys and their slots need it; logical is for you to declare
wal_level = replica
# a standby answers reads, and the checks before a switchover
hot_standby = on
# each member has one for every other one, twice while it reconnects, and some for base backups
max_wal_senders = 10
# every member keeps one for each other one; the rest is for your own consumers
max_replication_slots = 10
# a slot holds WAL for a member that is away; beyond this the member must be cloned anew, and the primary's disk survives
max_slot_wal_keep_size = 10GB
# lets a diverged member be rewound instead of cloned, checksums or not
wal_log_hints = on
# lets a member without a slot (a clone that just ended) catch up
wal_keep_size = 256MB
# a fast stop waits for every wal sender: a standby that is gone must be noticed soon
wal_sender_timeout = 5s
# a standby whose primary went silent looks for the new one after this time
wal_receiver_timeout = 5s
# well below wal_sender_timeout, so that a busy standby is not taken for a gone one
wal_receiver_status_interval = 1s

# --- connections to hosts that died without a word
# unacknowledged data ends the connection after this time
tcp_user_timeout = 5s
# an idle connection is first probed after these seconds
tcp_keepalives_idle = 5
# seconds between two probes
tcp_keepalives_interval = 2
# probes without an answer that end it, so that the locks of a client whose host died are free again
tcp_keepalives_count = 3

# --- staying up
# a crashed backend makes the instance recover at once; it never leaves it down
restart_after_crash = on

# --- logs
# into files of its own, where nothing of other services is dropped or mixed in
logging_collector = on
# outside the data directory: a clone neither copies the logs nor removes them
log_directory = '/var/log/postgresql/orders-pg1'
# one file for each day of the week: bounded, and last week is there
log_filename = 'postgresql-%a.log'
# last week's file of the same day is written over, not added to
log_truncate_on_rotation = on
# a new file every day
log_rotation_age = 1d
# and only then: by size it would have the same name
log_rotation_size = 0

# --- declared in the stack file: parameters
log_line_prefix = '%m ''x'' \\\\ '
pg_stat_statements.max = '100'
work_mem = '64MB'

# --- the role of this member; the cluster changes it
include '/etc/pgha/orders/pg1/role.conf'
`);
});

it("pg_hba.conf: the other members and the declared networks, by scram-sha-256", () => {
  expect(renderHba(orders, pg1)).toBe(`# Who may connect to member pg1 of cluster orders. Written whole by pgha.
# Only peer on the Unix socket and scram-sha-256 elsewhere; what is not listed is refused.

# the operating-system users postgres and those that pgha logs in as
local   all             postgres                                peer map=pgha
local   replication     postgres                                peer map=pgha
local   all             all                                     scram-sha-256

# the other members, over the replication network
host    replication     replicator      203.0.113.12/32        scram-sha-256   # pg2
host    replication     replicator      203.0.113.13/32        scram-sha-256   # pg3
# the same role in a database: pg_rewind of a member that diverged reads this one's files, through four functions that the
# role may use; and a standby's copies of failover slots are kept up to date
host    postgres        replicator      203.0.113.12/32        scram-sha-256   # pg2
host    postgres        replicator      203.0.113.13/32        scram-sha-256   # pg3

# clients
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
host    all             all             198.51.100.0/24        scram-sha-256
`);
});

describe("with copies of failover slots on the standbys", () => {
  const parameters = { Sync_Replication_Slots: "on" };

  it("a standby names the database in which they are asked for, and otherwise none", () => {
    expect(primaryConninfo(group({ parameters }), pg1, "any").split(" ")).toContain("dbname=postgres");
    const off = group({ parameters: { sync_replication_slots: "off" } });
    expect(primaryConninfo(off, pg1, "any")).not.toContain("dbname");
  });
});

it("pg_ident.conf: postgres, root and the SSH users, each once", () => {
  expect(
    renderIdent(orders),
  ).toBe(`# Which operating-system users may be which roles on the Unix socket. Written whole by pgha.
pgha    postgres        postgres
pgha    root        postgres
pgha    deploy        postgres
`);
  expect(
    renderIdent(group({ socketUsers: ["root", "root"] })),
  ).toBe(`# Which operating-system users may be which roles on the Unix socket. Written whole by pgha.
pgha    postgres        postgres
pgha    root        postgres
`);
});

it("the unit: stops fast, comes back when it dies", () => {
  expect(renderUnit(orders, pg1)).toBe(`# Written by pgha. One PostgreSQL instance: cluster orders, member pg1.
[Unit]
Description=PostgreSQL 17, cluster orders, member pg1
Documentation=man:postgres(1)
Wants=network-online.target
After=network-online.target
# a volume of the data is mounted first; where that fails, so does the start
RequiresMountsFor=/var/lib/postgresql/17/orders-pg1
# ten deaths in a short time are no accident: stay down and be looked at. On a busy host each start takes seconds
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
# READY=1 comes when connections are accepted: \`systemctl start\` that returned means it
Type=notify
User=postgres
# a backend may be killed for memory, the postmaster (OOMScoreAdjust below) never before it
Environment=LC_ALL=C.UTF-8 PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj PG_OOM_ADJUST_VALUE=0
# a former primary starts only where nobody was promoted meanwhile; \`systemctl status\` tells why it waits
ExecStartPre=+/usr/local/lib/pgha/start-gate start orders pg1 /var/lib/postgresql/17/orders-pg1
ExecStart=/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/orders-pg1 -c config_file=/etc/pgha/orders/pg1/postgresql.conf
# a promotion that this host's death cut off is completed
ExecStartPost=+/usr/local/lib/pgha/start-gate started orders pg1 /var/lib/postgresql/17/orders-pg1
ExecReload=/bin/kill -HUP $MAINPID
# after an intended stop, the next start has to prove its right anew
ExecStop=+/usr/local/lib/pgha/start-gate stop orders pg1 /var/lib/postgresql/17/orders-pg1
# a stop is a fast shutdown, to the postmaster alone
KillMode=mixed
KillSignal=SIGINT
# a postmaster that died is started again at once, on this host; every intended stop goes through systemd
Restart=always
RestartSec=0
# recovery takes as long as it takes, and so does the shutdown checkpoint
TimeoutStartSec=infinity
TimeoutStopSec=1h
# with PG_OOM_ADJUST_FILE above
OOMScoreAdjust=-900
# each backend may have max_files_per_process open (1000), beside its connections
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`);
});

it("role.conf in the steady state: whoever of the others is writable", () => {
  expect(
    renderRole(orders, pg1, steadyRole),
  ).toBe(`# The role of member pg1 in cluster orders. Written by pgha; it changes at a switchover.

# who counts for synchronous commit; the same on every member, so that a promoted one keeps the rule
synchronous_standby_names = 'ANY 1 ("pg1", "pg2", "pg3")'
# where WAL comes from while this member is a standby
primary_conninfo = 'host=203.0.113.12,203.0.113.13 port=5432,5432 user=replicator application_name=pg1 passfile=/etc/pgha/orders/pg1/passfile target_session_attrs=read-write connect_timeout=3 tcp_user_timeout=2000 keepalives_idle=5 keepalives_interval=2 keepalives_count=3'
# the primary keeps there what this member has not received yet
primary_slot_name = 'pgha_pg1'
# through a promotion: the new primary's timeline is followed
recovery_target_timeline = 'latest'
# how soon a standby tries again when there is no WAL: short, because a promotion may have to wait for it
wal_retrieve_retry_interval = 200ms
`);
});

it("every setting of ours has its reason above it, in the files on the hosts", () => {
  const lines = [
    ...renderPostgresqlConf({ ...orders, parameters: {} }, pg1).split("\n"),
    ...renderRole(orders, pg1, steadyRole).split("\n"),
  ];
  const isSetting = (line: string) => / = /.test(line) && !line.startsWith("#");
  const isReason = (line = "") => /^# (?!---)./.test(line);
  expect(lines.filter(isSetting)).toEqual(
    expect.arrayContaining(["max_replication_slots = 10", "recovery_target_timeline = 'latest'"]),
  );
  expect(lines.filter((line, index) => isSetting(line) && !isReason(lines[index - 1]))).toEqual([]);
});

describe("postgresql.conf", () => {
  it("gives way to a declared parameter, whatever the case of its name", () => {
    const text = renderPostgresqlConf(group({ parameters: { WAL_LEVEL: "logical", tcp_user_timeout: "1s" } }), pg1);
    expect(settings(text).filter((line) => /^(wal_level|tcp_user_timeout)/i.test(line))).toEqual([
      "WAL_LEVEL = 'logical'",
      "tcp_user_timeout = '1s'",
    ]);
  });

  it("says nothing of declared parameters when there are none", () => {
    expect(renderPostgresqlConf(group(), pg1)).not.toContain("declared in the stack file");
  });

  it("keeps quotes and backslashes inside the value", () => {
    const text = renderPostgresqlConf(group({ parameters: { archive_command: "test ! -f 'a\\b' && cp %p x" } }), pg1);
    expect(settings(text)).toContain("archive_command = 'test ! -f ''a\\\\b'' && cp %p x'");
  });

  it("listens once on a host with one address", () => {
    const one = member("pg1", { replicationAddress: "198.51.100.11", port: 5433 });
    expect(settings(renderPostgresqlConf(group(), one)).slice(0, 2)).toEqual([
      "listen_addresses = '127.0.0.1, ::1, 198.51.100.11'",
      "port = 5433",
    ]);
  });

  it("has wal senders and slots for every member of a large cluster", () => {
    const members = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => member(`pg${number}`));
    const lines = settings(renderPostgresqlConf(group({ members }), pg1));
    expect(lines).toContain("max_wal_senders = 20");
    expect(lines).toContain("max_replication_slots = 20");
  });

  it.each(supportedVersions)("sets only what PostgreSQL %i has", (postgresVersion) => {
    const text = renderPostgresqlConf(group({ postgresVersion }), pg1) + renderRole(orders, pg1, steadyRole);
    const names = settings(text).flatMap((line) => /^([a-z_]+) = /.exec(line)?.[1] ?? []);
    expect(names.length).toBeGreaterThan(30);
    for (const name of names) {
      expect([name, parameterContext(name)]).not.toEqual([name, undefined]);
      const faults = parameterFaults({ [name]: "1" }, postgresVersion, []).map((fault) => fault.found);
      expect(faults).not.toContain(`a parameter that PostgreSQL ${postgresVersion} does not have`);
    }
  });
});

describe("pg_hba.conf", () => {
  it("knows no other way in than peer and scram-sha-256", () => {
    const methods = settings(renderHba(orders, pg1)).map((line) => {
      const columns = line.split(/\s+/);
      return columns[0] === "local" ? columns[3] : columns[4];
    });
    expect([...new Set(methods)].sort()).toEqual(["peer", "scram-sha-256"]);
  });

  it("lets no network in that is not declared", () => {
    expect(settings(renderHba(group({ members: [pg1] }), pg1))).toEqual([
      "local   all             postgres                                peer map=pgha",
      "local   replication     postgres                                peer map=pgha",
      "local   all             all                                     scram-sha-256",
      "host    all             all             127.0.0.1/32            scram-sha-256",
      "host    all             all             ::1/128                 scram-sha-256",
    ]);
  });

  it("names an IPv6 member by all its bits", () => {
    const members = [pg1, member("pg2", { replicationAddress: "2001:db8::12" })];
    expect(renderHba(group({ members }), pg1)).toContain("2001:db8::12/128");
  });
});

describe("the unit", () => {
  it.each(supportedVersions)("runs the programs of PostgreSQL %i where Debian and PGDG put them", (postgresVersion) => {
    const lines = settings(renderUnit(group({ postgresVersion }), member("pg1", { dataDirectory: "/srv/a" })));
    expect(lines).toContain(
      `ExecStart=/usr/lib/postgresql/${postgresVersion}/bin/postgres -D /srv/a -c config_file=/etc/pgha/orders/pg1/postgresql.conf`,
    );
  });

  it("waits for the volume of the WAL too", () => {
    const lines = settings(renderUnit(orders, member("pg1", { walDirectory: "/wal/orders" })));
    expect(lines).toContain("RequiresMountsFor=/var/lib/postgresql/17/orders-pg1 /wal/orders");
  });
});

describe("role.conf", () => {
  const value = (text: string, name: string) => settings(text).find((line) => line.startsWith(`${name} = `));

  it("differs between members only in whom they follow and by which slot", () => {
    const [one, two] = ["pg1", "pg2"].map((name) => settings(renderRole(orders, member(name), steadyRole)));
    expect(one?.filter((line) => !two?.includes(line)).map((line) => line.split(" = ")[0])).toEqual([
      "primary_conninfo",
      "primary_slot_name",
    ]);
  });

  it("follows one member, and retries at once, during a handover", () => {
    const text = renderRole(orders, pg1, { upstream: "pg3", synchronous: true, hurried: true });
    expect(value(text, "primary_conninfo")).toBe(
      "primary_conninfo = 'host=203.0.113.13 port=5432 user=replicator application_name=pg1 passfile=/etc/pgha/orders/pg1/passfile connect_timeout=3 tcp_user_timeout=2000 keepalives_idle=5 keepalives_interval=2 keepalives_count=3'",
    );
    expect(value(text, "wal_retrieve_retry_interval")).toBe("wal_retrieve_retry_interval = 10ms");
  });

  it("waits for nobody while the cluster is being created", () => {
    const text = renderRole(orders, pg1, { ...steadyRole, synchronous: false });
    expect(value(text, "synchronous_standby_names")).toBe("synchronous_standby_names = ''");
  });

  it("follows nobody in a cluster of one", () => {
    expect(settings(renderRole(group({ members: [pg1] }), pg1, steadyRole))).toEqual([
      "synchronous_standby_names = ''",
      "primary_conninfo = ''",
      "primary_slot_name = ''",
      "recovery_target_timeline = 'latest'",
      "wal_retrieve_retry_interval = 200ms",
    ]);
  });

  it("names a cluster's only member itself under the agent PAF, which refuses one whose name is not in there", () => {
    const alone = group({ members: [pg1], failover: { manager: "pacemaker", agent: "paf", corosync: "main" } });
    expect(primaryConninfo(alone, pg1, "any")).toContain(" application_name=pg1 ");
    expect(primaryConninfo(alone, pg1, "any")).toContain(" target_session_attrs=read-write ");
  });

  it("names the ports of the others in the order of their addresses", () => {
    const members = [pg1, member("pg2", { port: 5433 }), member("pg3", { port: 5434 })];
    expect(primaryConninfo(group({ members }), pg1, "any").split(" ").slice(0, 2)).toEqual([
      "host=203.0.113.12,203.0.113.13",
      "port=5433,5434",
    ]);
  });

  it("writes hyphens in a slot's name as underscores, which slot names allow", () => {
    const east = member("pg-east1");
    const text = renderRole(group({ members: [east, pg1], synchronous: { quorum: 1 } }), east, steadyRole);
    expect(value(text, "primary_slot_name")).toBe("primary_slot_name = 'pgha_pg_east1'");
    expect(value(text, "synchronous_standby_names")).toBe(`synchronous_standby_names = 'ANY 1 ("pg-east1", "pg1")'`);
  });
});

describe("synchronous_standby_names", () => {
  const members = [pg1, member("pg2"), member("pg3", { candidate: false })];

  it.each([
    ["off", ""],
    [{ quorum: 1 }, 'ANY 1 ("pg1", "pg2")'],
    [{ priority: 1 }, 'FIRST 1 ("pg1", "pg2")'],
  ] as const)("%j: all candidates, the member itself included", (synchronous, expected) => {
    expect(synchronousStandbyNames({ members, synchronous })).toBe(expected);
  });
});

it("the configuration of a member is its files, by path", () => {
  const configuration = renderConfiguration(orders, pg1);
  expect(Object.keys(configuration)).toEqual([
    "/etc/pgha/orders/pg1/postgresql.conf",
    "/etc/pgha/orders/pg1/pg_hba.conf",
    "/etc/pgha/orders/pg1/pg_ident.conf",
    "/etc/pgha/orders/pg1/member.json",
    "/etc/pgha/orders/pg1/known_hosts",
  ]);
  expect(configuration["/etc/pgha/orders/pg1/pg_ident.conf"]).toBe(renderIdent(orders));
});

it("the host helper is told where its member's things are, and where its neighbours listen", () => {
  const far = { ...pg1, name: "pg2", replicationAddress: "203.0.113.12", sshPort: 2222, hostKey: "ssh-ed25519 BBBB x" };
  const { "/etc/pgha/orders/pg1/member.json": description, "/etc/pgha/orders/pg1/known_hosts": known } =
    renderConfiguration({ ...orders, members: [pg1, far] }, pg1);
  expect(JSON.parse(description ?? "")).toMatchObject({
    cluster: "orders",
    member: "pg1",
    port: 5432,
    unit: "pgha-orders-pg1.service",
    ticket: "/var/lib/pgha/orders/pg1/ticket.json",
    peers: [{ member: "pg2", address: "203.0.113.12", port: 2222 }],
  });
  expect(known).toBe("[203.0.113.12]:2222 ssh-ed25519 BBBB\n");
});

it("under Pacemaker it also knows what Pacemaker calls it, and by which rule a promotion is decided", () => {
  const members = [member("pg1", { host: "db1" }), member("pg2"), member("pg3", { candidate: false })];
  const described = (overrides: object) => {
    const shape = group({ members, ...overrides });
    return JSON.parse(renderConfiguration(shape, shape.members[0] ?? pg1)["/etc/pgha/orders/pg1/member.json"] ?? "");
  };
  const failover = { manager: "pacemaker", agent: "paf", corosync: "main" };
  const driven = { manager: "pacemaker", resource: "pgha-orders-clone", node: "db1", candidates: ["pg1", "pg2"] };
  expect(described({ failover })).toMatchObject({ ...driven, synchronous: { mode: "off", k: 0 } });
  for (const [synchronous, rule] of [
    [{ quorum: 1 }, { mode: "quorum", k: 1 }],
    [{ priority: 2 }, { mode: "priority", k: 2 }],
  ]) {
    expect(described({ failover, synchronous })).toMatchObject({ ...driven, synchronous: rule });
  }
  expect(Object.keys(described({}))).not.toContain("manager");
});

it("commits go on without standbys only where that is declared: by a unit, and a file that is there only then", () => {
  const shape = group({ synchronous: { quorum: 1 }, relaxAfterSeconds: 45 });
  const without = group({ synchronous: { quorum: 1 } });
  const [own] = shape.members;
  if (own === undefined) throw new Error("a cluster has members");
  const described = (declared: typeof shape) =>
    JSON.parse(renderConfiguration(declared, own)[memberPaths("orders", own.name).memberFile] ?? "");
  const file = "/etc/pgha/orders/pg1/relaxed.conf";
  expect(described(shape).relax).toEqual({ afterSeconds: 45, attribute: "pgha-orders-relaxed", file });
  expect(renderRole(shape, own, steadyRole).endsWith(`\ninclude_if_exists '${file}'\n`)).toBe(true);
  expect(renderRelaxUnit(shape, own)).toContain(
    "\nExecStart=/usr/bin/python3 -u /usr/local/lib/pgha/agent.py keep_synchronous /etc/pgha/orders/pg1/member.json\n",
  );
  expect(Object.keys(described(without))).not.toContain("relax");
  expect(renderRole(without, own, steadyRole)).not.toContain("include");
  expect(renderRelaxUnit(without, own)).toBeUndefined();
});

it("a former primary comes back by itself only where that is declared: by a unit before Corosync, and what it then needs", () => {
  const failover = { manager: "pacemaker", agent: "paf", corosync: "main" } as const;
  const shape = group({ failover: { ...failover, autoRejoin: true }, parameters: { restore_command: "x" } });
  const [own] = shape.members;
  if (own === undefined) throw new Error("a cluster has members");
  const described = (declared: typeof shape) =>
    JSON.parse(renderConfiguration(declared, own)[memberPaths("orders", own.name).memberFile] ?? "");
  expect(described(shape).atBoot).toEqual({
    postgresVersion: 17,
    restores: 1,
    walDirectory: "",
    user: "postgres",
    dataUnit: "pgha-orders-pg1.data.service",
    work: "/var/lib/pgha/orders/pg1/rejoin.lock",
    kept: "/var/lib/pgha/orders/pg1/kept",
    config: "/etc/pgha/orders/pg1/postgresql.conf",
    passfile: "/etc/pgha/orders/pg1/passfile",
    log: "/var/lib/pgha/orders/pg1/rewind.log",
    login: `user=replicator application_name=pg1 ${deadPeerOptions}`,
  });
  const unit = renderRejoinUnit(shape, own);
  expect(unit).toContain("\nBefore=corosync.service pacemaker.service\n");
  expect(unit).toContain(
    "\nExecStart=/usr/bin/python3 -u /usr/local/lib/pgha/agent.py return_at_boot /etc/pgha/orders/pg1/member.json\n",
  );
  const without = group({ failover });
  expect(renderRejoinUnit(without, own)).toBeUndefined();
  expect(Object.keys(described(without))).not.toContain("atBoot");
});
