import { expect, it } from "vitest";
import { standInsOf } from "./standIns.ts";

it("the agent finds PostgreSQL's programs, and the data, at the same place on every host", () => {
  const { directory, files, link, target } = standInsOf({
    cluster: "orders",
    member: "pg1",
    dataDirectory: "/data/orders",
    programs: "/usr/lib/postgresql/17/bin",
  });
  expect(directory).toBe("/etc/pgha/orders/pacemaker");
  expect([link, target]).toEqual(["/var/lib/pgha/orders/data", "/data/orders"]);
  const commands = files.map(({ path, content }) => [path.split("/").at(-1), content.split("\n").at(-2)]);
  expect(commands).toEqual([
    ["pg_ctl", "exit 1"],
    ["psql", 'PGCONNECT_TIMEOUT=5 exec /usr/lib/postgresql/17/bin/psql "$@" -U postgres'],
    ["postgres", 'exec /usr/lib/postgresql/17/bin/postgres "$@" -c config_file=/etc/pgha/orders/pg1/postgresql.conf'],
    ["pg_isready", "done"],
    ["pg_controldata", 'echo "$text"'],
    ["pg_waldump", 'exec /usr/lib/postgresql/17/bin/pg_waldump "$@"'],
    ["pgha-orders-pg1.conf", "r! /data/orders/postmaster.pid"],
  ]);
  expect(files[0]?.content).toContain("exec systemctl start pgha-orders-pg1.service ;;");
  expect(files[0]?.content).toContain("then exec systemctl stop pgha-orders-pg1.service; fi");
  expect(files[0]?.content).toContain("promote) exec $agent elect /etc/pgha/orders/pg1/member.json ;;");
});
