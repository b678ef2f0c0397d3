import { beforeEach, describe, expect, it } from "vitest";
import { type HelperProcess, limitMilliseconds, soon } from "../support/helperProcess.ts";
import {
  armedTake,
  epoch,
  giveArguments,
  prepareHandover,
  switchRecord,
  takeArguments,
  ticket,
  ticketRecord,
} from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts, systemIdentifier, timeline } from "../support/pretendHosts.ts";

/*
 * What other members' hosts may say over the channel, and both sides of a handover speaking with each other through it.
 * sshd gives their key one command, `agent.py channel CLUSTER MEMBER`, and lets it read their lines.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;

beforeEach(() => {
  [pg1, pg2] = [hosts.host("pg1"), hosts.host("pg2")];
});

const limits = { timeout: limitMilliseconds * 2 };
const ended = { code: 0, stderr: "" };
const notUnderstood = { answer: "not understood" };

function neighbour(): HelperProcess {
  return pg2.helper(["channel", "orders", "pg2"]);
}

describe("a neighbour", limits, () => {
  it("is told the state that a member's start depends on", async () => {
    pg2.lay("ticket", ticketRecord("armed"));
    pg2.lay("switch", switchRecord("restored"));
    pg2.set(
      "data/pg_wal/00000003.history",
      "1\t0/3000000\tno recovery target specified\n2\t0/05000100\tno recovery target specified\n",
    );
    const asks = neighbour();
    asks.say({ ask: "state" });
    expect(await asks.hear()).toEqual({
      answer: "state",
      systemIdentifier,
      timeline,
      began: "0/5000100 of timeline 2",
      state: "shut down",
      ticketEpoch: epoch,
      ticketState: "armed",
      switchEpoch: epoch,
      switchState: "restored",
      switchUnder: 0,
      heldBy: 0,
    });
  });

  it("is not understood when it says anything else, and changes nothing; its next word is heard", async () => {
    const words = [
      ["an unknown word", '{"ask":"stop"}'],
      ["a verb of the orchestrator", '{"ask":"admit","epoch":5}'],
      ["no epoch", '{"ask":"revoke","timeline":3}'],
      ["an epoch that is text", '{"ask":"revoke","epoch":"5","timeline":3}'],
      ["an epoch that is a path", '{"ask":"ticket of","epoch":"../../../x"}'],
      ["an epoch below one", '{"ask":"revoke","epoch":0,"timeline":3}'],
      ["an epoch that is none", '{"ask":"ticket of","epoch":[5]}'],
      ["a list", '["revoke",5,3]'],
      ["a command", "systemctl stop pgha-orders-pg2.service; $(reboot) `reboot`"],
      ["a program", `__import__("os").system("reboot")`],
      ["half a line", '{"ask":"revoke","epoch":5,'],
      ["deep nesting", "[".repeat(2000)],
      ["endless signs", `${"-".repeat(4000)}1`],
      ["bytes that are no text", "\u0000\ufffd\u0001"],
      ["nothing", ""],
    ];
    pg2.lay("ticket", ticketRecord("armed"));
    const asks = neighbour();
    for (const [what, word = ""] of words) {
      asks.say(word);
      expect(await asks.hear(), what).toEqual(notUnderstood);
    }
    asks.say({ ask: "state" });
    expect(await asks.hear()).toMatchObject({ answer: "state" });
    asks.leave();
    expect(await asks.exit).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord("armed"));
    expect(pg2.calls()).toEqual([]);
  });

  it.each([
    ["a word that is too long", `${JSON.stringify({ ask: "revoke", epoch, timeline, more: "x".repeat(5000) })}`],
    ["a word without an end", "x".repeat(200_000)],
  ])("is cut off at %s", async (_, word) => {
    pg2.lay("ticket", ticketRecord("armed"));
    const asks = neighbour();
    asks.say(word);
    expect(await asks.rest()).toEqual([]);
    expect(await asks.exit).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord("armed"));
  });

  it("is refused when nobody waits for the ticket", async () => {
    const asks = neighbour();
    asks.say({ ask: "ticket of", epoch });
    expect(await asks.rest()).toEqual([
      { answer: "refused", reason: "nobody waits for a ticket of epoch 5 (No such file or directory)" },
    ]);
  });

  it("cannot have the program run with other words", async () => {
    const commands: [string, string[]][] = [
      ["another verb beside it", ["channel", "orders", "pg2", "hold"]],
      ["no member", ["channel", "orders"]],
      ["a path for a cluster", ["channel", "../../tmp", "pg2"]],
      ["a path for a member", ["channel", "orders", "pg2/../pg3"]],
      ["a line break", ["channel", "orders", "pg2\n"]],
      ["an option", ["channel", "--", "pg2"]],
      ["nothing", []],
      ["a shell", ["sh", "-c", "reboot"]],
      ["the helper's own functions", ["revoke", "{}"]],
    ];
    await Promise.all(
      commands.map(async ([what, words]) => {
        const asks = pg2.helper(words);
        asks.leave();
        expect(await asks.rest(), what).toEqual([]);
        const { code, stderr } = await asks.exit;
        expect(code, what).toBe(1);
        expect(stderr, what).toMatch(/^agent\.py: found .*, expected one of its verbs\.\n$/);
      }),
    );
  });
});

describe("two hosts", limits, () => {
  const drive = (host: PretendHost, role: string, values: object) =>
    host.verb("drive", { role, epoch, arguments: { member: host.memberFile, ...values } });

  beforeEach(() => Promise.all([prepareHandover(pg1), prepareHandover(pg2)]));

  const secret = "correct-horse-battery-staple";

  it("hand over by themselves once the word was said, and nothing secret is in a command line", async () => {
    for (const host of [pg1, pg2]) {
      for (const file of ["passfile", "channelKey"] as const) host.lay(file, { secret });
    }
    const take = drive(pg2, "take", takeArguments());
    expect(await take.hear()).toEqual({ event: "armed" });
    const give = drive(pg1, "give", giveArguments());
    expect(await give.hear()).toEqual({ event: "armed" });
    give.say("go");
    give.leave();
    take.leave();
    await expect.poll(() => pg2.read("ticket")?.state, soon).toBe("promoted");
    await expect.poll(() => pg1.read("switch")?.state, soon).toBe("followed");
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect([pg1.isWritable, pg2.isWritable]).toEqual([false, true]);
    expect([pg1.standbySignal, pg2.standbySignal]).toEqual([true, false]);
    for (const host of [pg1, pg2]) {
      expect(host.trace().join("\n")).toContain("run systemd-run");
      expect(host.trace().join("\n")).not.toContain(secret);
    }
  });

  it("has the old primary's intent on its disk before PostgreSQL is told to stop", async () => {
    expect(await drive(pg2, "take", takeArguments()).hear()).toEqual({ event: "armed" });
    const give = drive(pg1, "give", giveArguments());
    expect(await give.hear()).toEqual({ event: "armed" });
    const before = pg1.trace().length;
    give.say("go");
    await expect.poll(() => pg1.calls().length, soon).toBeGreaterThan(0);
    expect(
      pg1
        .trace()
        .slice(before)
        .filter((line) => line !== "waits" && line !== "listens")
        .slice(0, 6),
    ).toEqual([
      "sync switch.json.new",
      "rename switch.json",
      "sync pg1",
      "sync standby.signal",
      "sync orders-pg1",
      "run systemctl stop --no-block pgha-orders-pg1.service",
    ]);
  });

  it("come back to the old primary when the target has not received everything", async () => {
    pg2.set("received", "1/30000D7\n");
    expect(await drive(pg2, "take", takeArguments()).hear()).toEqual({ event: "armed" });
    const give = drive(pg1, "give", giveArguments());
    expect(await give.hear()).toEqual({ event: "armed" });
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "refused", "restored"]);
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect([pg1.isWritable, pg2.isWritable]).toEqual([true, false]);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
  });

  it("agree after both lost their power while the ticket was on its way", async () => {
    pg2.set("received", "1/30000D7\n"); // so that it is not used yet
    expect(await drive(pg2, "take", takeArguments()).hear()).toEqual({ event: "armed" });
    const give = drive(pg1, "give", giveArguments());
    expect(await give.hear()).toEqual({ event: "armed" });
    give.say("go");
    expect((await give.hear())?.event).toBe("shut down");
    pg1.reboot();
    pg2.reboot();
    pg1.startUnit();
    pg2.startUnit();
    await expect.poll(() => pg1.isRunning && pg2.isRunning, soon).toBe(true);
    expect([pg1.isWritable, pg2.isWritable]).toEqual([true, false]);
    expect(pg2.read("ticket")).toMatchObject({ epoch, state: "revoked" });
  });

  it("agree after the target's host lost its power between the ticket's use and the promotion", async () => {
    pg2.set("unpromotable");
    expect(await drive(pg2, "take", takeArguments()).hear()).toEqual({ event: "armed" });
    const give = drive(pg1, "give", giveArguments());
    expect(await give.hear()).toEqual({ event: "armed" });
    give.say("go");
    await expect.poll(() => pg2.read("ticket")?.state, soon).toBe("consumed");
    pg2.reboot();
    pg2.unset("unpromotable");
    pg2.startUnit();
    await expect.poll(() => pg2.read("ticket")?.state, soon).toBe("promoted");
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect([pg1.isWritable, pg2.isWritable]).toEqual([false, true]);
  });

  it("do not agree on a second use: a ticket that is asked back is worth nothing when it arrives", async () => {
    const take = await armedTake(pg2, {}, { RETRY_SECONDS: 20 });
    const asks = neighbour();
    asks.say({ ask: "revoke", epoch, timeline });
    expect(await asks.hear()).toEqual({ answer: "revoked" });
    take.say(ticket);
    expect([await take.hear(), await take.hear()]).toMatchObject([{ event: "proved" }, { event: "refused" }]);
    expect(pg2.isWritable).toBe(false);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
  });
});
