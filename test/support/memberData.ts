import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { beforeEach } from "vitest";
import { z } from "zod";
import { type AgentArguments, askAgent } from "../../cluster/agent.ts";
import { lockText, type ScratchHost, scratchHost } from "./scratchHost.ts";

export const systemIdentifier = "7000000000000000001";

/** pg1's finished data on a scratch host, stopped cleanly, held with epoch 5, with programs of PostgreSQL that print files. */
export interface MemberData extends ScratchHost {
  /** Who holds the cluster. */
  lockIs(epoch: number): void;
  /** What pg_controldata prints. */
  control(state: string, overrides?: Record<string, string>): void;
  marked(state: string, more?: Record<string, string>): void;
  marker(): Record<string, string>;
  /** An order to the helper about this data. */
  ask(verb: string, more?: AgentArguments): Promise<Record<string, unknown>>;
}

export function memberData(): MemberData {
  const scratch = scratchHost(["state", "data", "wal"]);
  const { at, program } = scratch;
  const data: MemberData = {
    ...scratch,
    get host() {
      return scratch.host;
    },
    lockIs: (epoch) => writeFileSync(at("state", "lock.json"), lockText({ epoch })),
    control(state, overrides = {}) {
      const fields = {
        "Database cluster state": state,
        "Latest checkpoint's REDO location": "0/4000028",
        "Latest checkpoint's TimeLineID": "1",
        "Minimum recovery ending location": "0/0",
        "Min recovery ending loc's timeline": "0",
        "wal_log_hints setting": "off",
        "Data page checksum version": "1",
        ...overrides,
      };
      const lines = Object.entries(fields).map(([label, value]) => `${`${label}:`.padEnd(38)}${value}\n`);
      writeFileSync(at("control"), lines.join(""));
    },
    marked(state, more = {}) {
      const fields = { cluster: "orders", member: "pg1", state, systemIdentifier, dataDirectory: at("data"), ...more };
      writeFileSync(at("state", "marker.json"), JSON.stringify(fields));
    },
    marker: () => JSON.parse(readFileSync(at("state", "marker.json"), "utf8")) as Record<string, string>,
    ask: (verb, more = {}) =>
      askAgent(
        scratch.host,
        verb,
        {
          dataDirectory: at("data"),
          walDirectory: at("wal"),
          programs: at("bin"),
          marker: at("state", "marker.json"),
          unit: "pgha-orders-pg1.service",
          dataUnit: "pgha-orders-pg1.data.service",
          work: at("state", "rejoin.lock"),
          lock: at("state", "lock.json"),
          epoch: 5,
          user: userInfo().username,
          token: "t1",
          ...more,
        },
        z.record(z.string(), z.unknown()),
        { limitSeconds: 60, purpose: "test the helper" },
      ),
  };
  beforeEach(() => {
    program("systemctl", `case "$*" in *.data.service) rm -f ${at("clone-runs")};; *) cat ${at("unit")};; esac`);
    program("pg_controldata", `cat ${at("control")}`);
    program(
      "pg_waldump",
      `last=; for word; do [ "$last" != --start ] || start=$word; last=$word; done; cat "${at()}/$start"; exit 1`,
    );
    data.lockIs(5);
    data.unitIs("inactive");
    data.control("shut down");
    layDatabase(scratch);
    data.marked("ready");
  });
  return data;
}

/** Its WAL lies in a directory of its own. */
function layDatabase({ at }: ScratchHost): void {
  mkdirSync(at("data", "global"));
  const pgControl = Buffer.alloc(64);
  pgControl.writeBigUInt64LE(BigInt(systemIdentifier), 0);
  writeFileSync(at("data", "global", "pg_control"), pgControl);
  writeFileSync(at("data", "PG_VERSION"), "17\n");
  writeFileSync(at("data", "postgresql.auto.conf"), "work_mem = '1GB'\n");
  symlinkSync(at("wal"), at("data", "pg_wal"));
  for (const file of ["000000010000000000000004", "000000010000000000000005"]) writeFileSync(at("wal", file), file);
}
