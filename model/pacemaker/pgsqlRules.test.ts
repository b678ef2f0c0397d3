import { describe, expect, it } from "vitest";
import { type Data, faults, hosts, orders, parsed } from "../../test/support/stackFiles.ts";

const sentence = "a cut-off primary may go on accepting writes";

/** A stack file whose cluster orders has two members under the agent pgsql, with these changes. */
function stackFile(changes: Data = {}): Data {
  return {
    hosts,
    clusters: {
      orders: {
        ...orders,
        members: { pg1: {}, pg2: {} },
        synchronous: { priority: 1 },
        failover: { manager: "pacemaker", agent: "pgsql" },
        virtualIps: { primary: "198.51.100.50/24" },
        ...changes,
      },
      // The third host of the Corosync cluster.
      other: { postgresVersion: 17, members: { pg3: {} }, primary: "pg3", failover: { manager: "pacemaker" } },
    },
    pacemaker: { main: { fencing: { none: sentence } } },
  };
}

const pgsql = (parameters: Data) => ({ failover: { manager: "pacemaker", agent: "pgsql", pgsql: parameters } });

describe("a cluster under the agent pgsql", () => {
  it("has every parameter with its default, and rep_mode as synchronous says", () => {
    const defaults = {
      restore_command: "",
      archive_cleanup_command: "",
      repuser: "replicator",
      primary_conninfo_opt: "",
      tmpdir: "/var/lib/pgha/orders/pgsql",
      xlog_check_count: 3,
      stop_escalate: 30,
      stop_escalate_in_slave: 30,
      restart_on_promote: false,
    };
    const failover = (changes: Data) => parsed(stackFile(changes)).clusters[0]?.failover;
    const driven = { manager: "pacemaker", agent: "pgsql", corosync: "main" };
    expect(failover({})).toEqual({ ...driven, pgsql: { ...defaults, rep_mode: "sync" } });
    expect(failover({ synchronous: "off" })).toEqual({ ...driven, pgsql: { ...defaults, rep_mode: "async" } });
  });

  it("has its commands for archived WAL as PostgreSQL's own settings too", () => {
    const declared = pgsql({ restore_command: "cp /archive/%f %p", archive_cleanup_command: "clean /archive %r" });
    expect(parsed(stackFile(declared)).clusters[0]?.parameters).toEqual({
      restore_command: "cp /archive/%f %p",
      archive_cleanup_command: "clean /archive %r",
    });
  });

  it.each<[string, Data, string]>([
    [
      "with a quorum, which the agent does not know",
      { synchronous: { quorum: 1 } },
      "synchronous: found quorum, under the agent pgsql, expected { priority: 1 } or off: the agent promotes nobody who is one of a quorum. Write { priority: 1 }, which waits for the one standby just so; or declare agent: paf.",
    ],
    [
      "with a rep_mode that contradicts synchronous",
      pgsql({ rep_mode: "async" }),
      "failover.pgsql.rep_mode: found async, and synchronous is { priority: 1 }, expected sync, as synchronous says. Write synchronous: off, or remove rep_mode.",
    ],
    [
      "without an address that moves with the primary",
      { virtualIps: {} },
      "virtualIps: found none, under the agent pgsql, expected at least one address that moves with the primary: the agent does not work without (its master_ip). Declare primary or replication, or agent: paf.",
    ],
    [
      "with the return of a former primary at boot",
      { failover: { manager: "pacemaker", agent: "pgsql", autoRejoin: true } },
      "failover.autoRejoin: found true, under the agent pgsql, expected false: its PGSQL.lock goes only once `pulumi up` has seen that nothing is lost by it. Remove it, or declare agent: paf.",
    ],
    [
      "with a member that may not be primary",
      { members: { pg1: {}, pg2: { candidate: false } }, synchronous: "off" },
      "members.pg2.candidate: found false, under the agent pgsql, expected true: of its two members each must be able to take over from the other. Remove the line, or declare agent: paf.",
    ],
    [
      "with promotion by a restart",
      pgsql({ restart_on_promote: true }),
      "failover.pgsql.restart_on_promote: found true, expected false: a primary that begins no timeline of its own cannot be told from the one before it. Remove the line.",
    ],
    [
      "with another role for replication",
      pgsql({ repuser: "postgres" }),
      'failover.pgsql.repuser: found postgres, expected "replicator", the role that pgha makes for replication. Remove the line.',
    ],
    [
      "with a connection to somebody else",
      pgsql({ primary_conninfo_opt: "sslmode=require host=198.51.100.13" }),
      "failover.pgsql.primary_conninfo_opt: found sslmode=require host=198.51.100.13, expected no host, port, user, application_name or password: they follow from the declaration. Remove it.",
    ],
    [
      "with a directory that holds the data",
      pgsql({ tmpdir: "/var/lib/postgresql" }),
      "failover.pgsql.tmpdir: found /var/lib/postgresql, beside or around the data in /var/lib/postgresql/17/orders-pg1, expected a directory of its own: the agent takes it away from everybody else (mode 0700, owner root). Name another one, or leave it out.",
    ],
    [
      "with a directory that is everybody's",
      pgsql({ tmpdir: "/var/lib" }),
      "failover.pgsql.tmpdir: found /var/lib, expected a directory of its own such as /var/lib/pgsqlscratch: the agent takes it for itself (mode 0700). Name another one.",
    ],
    [
      "with an archive declared twice",
      { ...pgsql({ restore_command: "cp /archive/%f %p" }), parameters: { restore_command: "false" } },
      "failover.pgsql.restore_command: found a value here, and another under parameters:, expected one of the two. Remove one.",
    ],
    [
      "with the agent's parameters under another agent",
      { failover: { manager: "pacemaker", agent: "paf", pgsql: {} } },
      "failover.pgsql: found parameters of the agent pgsql, and the agent is paf, expected them with agent: pgsql only. Write agent: pgsql, or remove them.",
    ],
  ])("is refused %s", (_, changes, text) => {
    expect(faults(stackFile(changes))[0]).toBe(`pgha:clusters.orders.${text}`);
  });

  it("is refused with a parameter that the agent does not have", () => {
    expect(faults(stackFile(pgsql({ rep_node: "sync" })))[0]).toMatch(
      /^pgha:clusters\.orders\.failover\.pgsql.*rep_node/,
    );
  });

  it("is refused with three members, synchronous or not: nobody, or one of two, could be promoted", () => {
    const three = { members: { pg1: {}, pg2: {}, pg3: { port: 5433 } } };
    const [synchronous] = faults(stackFile(three));
    expect(synchronous).toBe(
      "pgha:clusters.orders.members: found 3 members under the agent pgsql, expected two (the agent lets commits wait for one standby by its name, and promotes that one alone). Declare two members, or agent: paf.",
    );
    const [asynchronous] = faults(stackFile({ ...three, synchronous: "off" }));
    expect(asynchronous).toBe(
      "pgha:clusters.orders.members: found 3 members under the agent pgsql, expected two (with more asynchronous standbys the agent promotes none of them: it cannot tell whose data is the newest). Declare two members, or agent: paf.",
    );
  });
});
