import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import { declarePacemakerCluster, openPacemakerLab, pacemakerStatus, waitUntilPromoted } from "../support/pacemaker.ts";
import { comeBack, expectAsDeclared, serversIn } from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster, type Verdict } from "../support/testCluster.ts";

/*
 * Two members without synchronous commit, and a quorum device: one that boots alone has quorum by the device's vote, and knows
 * nothing of what the other wrote. Who is fenced stays off. The tests go on from each other.
 */
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  for (const { name } of lab.hosts) await onHost(lab, name, ["systemctl", "disable", "--now", "corosync-qnetd"]);
  await onHost(lab, "pg3", ["systemctl", "disable", "--now", "pacemaker", "corosync"]);
  cluster = await declarePacemakerCluster(lab, "former-primary", {
    members: ["pg1", "pg2"],
    corosync: { quorumDevice: { host: "pg3" }, properties: { "stonith-action": "off" } },
  });
  await cluster.declare("synchronous", "off");
  expectExit(await cluster.stack.up(), 0);
  await expectAsDeclared(cluster, "pg1");
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

/** Waits until this host, with quorum, has refused the promotion; returns the command by which the refusal is overruled. */
async function waitForRefusal(member: string, other: string): Promise<string> {
  const refusal = `${member} is not promoted: ${other} may have been primary while this host was off`;
  const journal = `journalctl --boot --output=cat --identifier=pgha --no-pager`;
  const line = await waitFor(`${member} to refuse its promotion`, 180, async () => {
    const lines = (await scriptOnHost(lab, member, journal)).split("\n");
    return lines.find((text) => text.includes(refusal));
  });
  expect((await pacemakerStatus(lab, member)).quorum).toBe(true);
  expect(await sql(lab, member, "select pg_is_in_recovery()")).toBe("t");
  const preview = await cluster.stack.preview();
  expect(plain(preview.output).replace(/\s+/g, " ")).toContain(refusal);
  return /`(.*)`/.exec(line)?.[1] ?? "";
}

/** Rows that a dead primary had alone may be missing; nobody was writable beside another. */
function expectOneWriter({ twoWritersAtOnce, writableTogether, owners }: Verdict): void {
  expect({ twoWritersAtOnce, writableTogether, disputed: owners?.disputed }).toEqual({
    twoWritersAtOnce: [],
    writableTogether: [],
    disputed: [],
  });
}

const rows = (member: string) => sql(lab, member, "select count(*) from since");

test("a former primary that boots alone leaves the role to whoever was primary since, and loses nothing of that", async (context) => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await lab.kill("pg1");
  expect(await waitUntilPromoted(lab, "pg2", "pg1", 90)).toBe("pg2");
  await sql(lab, "pg2", "create table since as select * from generate_series(1, 1000)");
  await observed.writer.waitForAcknowledgement(60);
  await lab.kill("pg2");
  await lab.start("pg1");
  await waitForRefusal("pg1", "pg2");
  await lab.start("pg2");
  const since = Date.now();
  expect(await waitUntilPromoted(lab, "pg2", "pg1", 180)).toBe("pg2");
  context.task.meta.measured = `promoted ${Math.round((Date.now() - since) / 1000)} s after its host was back`;
  console.log(context.task.meta.measured);
  const verdict = await observed.finish();
  expectOneWriter(verdict);
  expect(serversIn(verdict)).toEqual(["pg1", "pg2"]);
  expect(await rows("pg2")).toBe("1000");
  await comeBack(cluster, "pg1", "pg2");
});

test("where the other one is lost for good, it is promoted by the command that its refusal names", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await lab.kill("pg1");
  await waitFor("pg2 to see that pg1 is off", 60, async () => {
    const nodes = (await pacemakerStatus(lab, "pg2")).nodes;
    return nodes.some(({ name, online, unclean }) => name === "pg1" && !online && !unclean) || undefined;
  });
  await sql(lab, "pg2", "insert into since select 0");
  await lab.kill("pg2");
  await lab.start("pg1");
  const command = await waitForRefusal("pg1", "pg2");
  expect(command).toContain("pgha-orders-accept-loss");
  await scriptOnHost(lab, "pg1", command);
  expect(await waitUntilPromoted(lab, "pg1", "nobody", 180)).toBe("pg1");
  expectOneWriter(await observed.finish());
  expect(await rows("pg1")).toBe("1000");
});
