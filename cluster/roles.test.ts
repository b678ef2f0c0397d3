import { describe, expect, it } from "vitest";
import { UserError } from "../model/fault.ts";
import { group } from "../test/support/shapes.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { resetSlots } from "./roles.ts";

describe("the slots of a demoted member", () => {
  const statements: string[] = [];
  const session = {
    select: async (_: unknown, statement: string) => {
      statements.push(statement);
      return [];
    },
    query: async () => undefined,
    close: async () => undefined,
  };
  const access = { group: group() } as unknown as ClusterAccess;
  const member = { name: "pg1", connect: async () => session } as unknown as MemberAccess;
  const reset = (assertHeld: () => void) => resetSlots(access, member, { assertHeld }, { info: () => undefined });

  it("are dropped only where PostgreSQL itself says that it is a standby, in the statement that drops them", async () => {
    await reset(() => undefined);
    expect(statements).toHaveLength(1);
    expect(statements[0]).toMatch(/pg_drop_replication_slot\(slot_name\)[^;]*\bwhere pg_is_in_recovery\(\) and /);
  });

  it("are left alone when the lock was lost while the member was waited for", async () => {
    statements.length = 0;
    const lost = () => {
      throw new UserError("the lock of cluster orders was lost");
    };
    await expect(reset(lost)).rejects.toThrow("the lock of cluster orders was lost");
    expect(statements).toEqual([]);
  });
});
