import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import {
  armedGive,
  armedTake,
  epoch,
  giveArguments,
  prepareHandover,
  scriptTarget,
  switchRecord,
  takeArguments,
  tells,
  ticket,
  ticketRecord,
} from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts } from "../support/pretendHosts.ts";

/*
 * The addresses that move with the primary, within the outage: at most one host answers for each at any moment. The kernel's
 * addresses and rules are pretended: `addresses` and `rules` below a host's root.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;

const address = "198.51.100.50";
const four = { address, prefix: 24, nic: "" };
const six = { address: "2001:db8::50", prefix: 64, nic: "" };
const addresses = [four];
const own1 = "host0 198.51.100.11/24\n";
const own2 = "host0 198.51.100.12/24\n";
const virtual = `host0 ${address}/24\n`;
const silent = { ask: "silent", epoch };
const limits = { timeout: limitMilliseconds * 2 };

beforeEach(async () => {
  pg1 = hosts.host("pg1");
  pg2 = hosts.host("pg2");
  pg1.set("addresses", own1 + virtual);
  pg2.set("addresses", own2);
  await Promise.all([prepareHandover(pg1), prepareHandover(pg2)]);
});

/** Of what it did with addresses, in order. */
const moves = (host: PretendHost) =>
  host
    .trace()
    .filter((line) => /^(silent|answers|announces .*|run ip addr .*)$/.test(line))
    .map((line) => line.replace("run ip addr ", ""));

/** It answers as before, and nothing is left of having wanted otherwise. */
function expectUntouched(host: PretendHost, held: string): void {
  expect(host.get("addresses")).toBe(held);
  expect(host.has("rules")).toBe(false);
  expect(host.hasSilenceRecord).toBe(false);
}

const expectLeft = () => expectUntouched(pg1, own1);

describe("within the outage,", limits, () => {
  it("the old host falls silent, the target takes them and says so, the old one leaves them", async () => {
    const take = await armedTake(pg2, { addresses });
    const give = await armedGive(pg1, { addresses });
    give.say("go");
    const told = await give.rest();
    expect(told.find(({ event }) => event === "addressed")).toEqual({
      event: "addressed",
      milliseconds: expect.any(Number),
    });
    expect(told.at(-1)?.event).toBe("follows");
    take.leave();
    expect((await take.rest()).map(({ event }) => event)).toContain("addressed");
    await take.ended;
    expect(moves(pg1)).toEqual(["silent", `del ${address}/24 dev host0`, "answers"]);
    const announced = `announces ${address} on host0`;
    expect(moves(pg2)).toEqual([`add ${address}/24 brd + dev host0`, announced, announced]);
    expectLeft();
    expectUntouched(pg2, own2 + virtual);
  });

  it("the word comes only when the old host is silent, and while its clients are still refused", async () => {
    const looks = `read -r word; printf %s "$word" > $FAKE_ROOT/word; cat $FAKE_ROOT/rules $FAKE_ROOT/addresses > $FAKE_ROOT/then`;
    const ends = tells({ event: "addressed" });
    scriptTarget(pg1, {
      ticket: `${tells({ event: "consumed" })}; ${looks}; ${ends}; ${tells({ event: "acknowledged" })}`,
    });
    const give = await armedGive(pg1, { addresses });
    give.say("go");
    await give.rest();
    expect(JSON.parse(pg1.get("word"))).toEqual(silent);
    expect(pg1.get("then")).toContain(`arp saddr ip { ${address} } drop`);
    expect(pg1.get("then")).toContain(virtual);
    expectLeft();
  });

  it("the old host does not fall silent before the ticket was consumed", async () => {
    scriptTarget(pg1, { ticket: tells({ event: "refused", reason: "too little WAL" }) });
    const give = await armedGive(pg1, { addresses });
    give.say("go");
    expect((await give.rest()).at(-1)?.event).toBe("restored");
    expect(moves(pg1)).toEqual([]);
    expectUntouched(pg1, own1 + virtual);
  });

  it("the old host waits for a target that does not say that it has them, but not for long", async () => {
    const waits = "while grep -q 198.51.100.50 $FAKE_ROOT/addresses; do sleep 0.01; done";
    scriptTarget(pg1, { ticket: `${tells({ event: "consumed" })}; ${waits}; ${tells({ event: "acknowledged" })}` });
    const give = await armedGive(pg1, { addresses }, { KEEP_SECONDS: 0.2 });
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "acknowledged", "follows"]);
    expectLeft();
  });

  it("the old host has left them before it accepts connections again, though the rule needs it at once", async () => {
    scriptTarget(pg1, {
      ticket: `${tells({ event: "consumed" })}; while [ ! -e $FAKE_ROOT/postmaster ]; do sleep 0.01; done; cp $FAKE_ROOT/addresses $FAKE_ROOT/then`,
    });
    const give = await armedGive(pg1, { addresses, neededAtOnce: 1 }, { KEEP_SECONDS: 60 });
    give.say("go");
    await give.rest();
    expect(pg1.get("then")).toBe(own1);
    expectLeft();
  });

  it("the old host gives them up at once where it cannot fall silent, and says so", async () => {
    const looks = `read -r word; printf %s "$word" > $FAKE_ROOT/word; cp $FAKE_ROOT/addresses $FAKE_ROOT/then`;
    scriptTarget(pg1, { ticket: `touch $FAKE_ROOT/no-rules; ${tells({ event: "consumed" })}; ${looks}` });
    const give = await armedGive(pg1, { addresses });
    give.say("go");
    await give.rest();
    expect(JSON.parse(pg1.get("word"))).toEqual(silent);
    expect(pg1.get("then")).toBe(own1);
  });

  it("no word goes out where the old host can neither fall silent nor give them up", async () => {
    const looks = `if read -r word; then touch $FAKE_ROOT/word; fi`;
    scriptTarget(pg1, {
      ticket: `touch $FAKE_ROOT/no-rules $FAKE_ROOT/stuck; ${tells({ event: "consumed" })}; ${looks}`,
    });
    const give = await armedGive(pg1, { addresses });
    give.say("go");
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect(pg1.has("word")).toBe(false);
  });

  it("a host that cannot take its address away stays silent for it", async () => {
    scriptTarget(pg1, { ticket: `touch $FAKE_ROOT/stuck; ${tells({ event: "consumed" })}` });
    const give = await armedGive(pg1, { addresses });
    give.say("go");
    expect((await give.rest()).at(-1)?.event).toBe("follows");
    expect(pg1.get("addresses")).toBe(own1 + virtual);
    expect(pg1.get("rules")).toContain(address);
  });

  it("nothing is asked or changed where there are none", async () => {
    const take = await armedTake(pg2);
    const give = await armedGive(pg1);
    give.say("go");
    expect((await give.rest()).at(-1)?.event).toBe("follows");
    take.leave();
    await take.ended;
    for (const host of [pg1, pg2]) expect(host.trace().filter((line) => /^run (ip|nft) /.test(line))).toEqual([]);
  });
});

describe("the target", limits, () => {
  it("does not take them without the word, though it is promoted", async () => {
    const take = await armedTake(pg2, { addresses });
    take.say(ticket);
    const heard = [await take.hear(), await take.hear(), await take.hear(), await take.hear()];
    expect(heard.map((one) => one?.event)).toEqual(["proved", "consumed", "promoted", "acknowledged"]);
    take.leave();
    await take.ended;
    expectUntouched(pg2, own2);
  });

  it("takes no notice of the word of another handover", async () => {
    pg2.set("unacknowledged");
    const take = await armedTake(pg2, { addresses });
    take.say(ticket);
    await expect.poll(() => pg2.isWritable, soon).toBe(true);
    take.say({ ...silent, epoch: epoch - 1 });
    take.say(silent);
    await expect.poll(() => pg2.get("addresses"), soon).toBe(own2 + virtual);
    expect(moves(pg2).filter((line) => line.startsWith("add"))).toHaveLength(1);
  });

  it("takes them while it is still being promoted", async () => {
    pg2.set("unpromotable");
    pg1.lay("switch", switchRecord("followed"));
    const take = await armedTake(pg2, { addresses });
    take.say(ticket);
    for (;;) if ((await take.hear())?.event === "consumed") break;
    take.say(silent);
    await expect.poll(() => pg2.get("addresses"), soon).toBe(own2 + virtual);
    expect(pg2.isWritable).toBe(false);
  });

  it("still hears the word after its first commit", async () => {
    const take = await armedTake(pg2, { addresses });
    take.say(ticket);
    for (;;) if ((await take.hear())?.event === "acknowledged") break;
    take.say(silent);
    expect(await take.hear()).toEqual({ event: "addressed" });
    expectUntouched(pg2, own2 + virtual);
  });

  it("says nothing, and goes on, when it cannot add them", async () => {
    const take = await armedTake(pg2, { addresses });
    pg2.set("stuck");
    take.say(ticket);
    for (;;) if ((await take.hear())?.event === "consumed") break;
    take.say(silent);
    expect((await take.hear())?.event).toBe("promoted");
    expect((await take.hear())?.event).toBe("acknowledged");
    take.leave();
    expect(await take.ended).toMatchObject({ stderr: expect.stringContaining("Operation not permitted") });
    expectUntouched(pg2, own2);
  });

  it("does not take them when it was killed with the word on its way: the manager sees to it", async () => {
    pg2.set("unacknowledged");
    const first = pg2.verb("take", takeArguments({ addresses }));
    const listener = await pg2.connect("take", epoch);
    listener.say(ticket);
    await expect.poll(() => pg2.isWritable, soon).toBe(true);
    first.kill();
    await first.exit;
    expect(await pg2.verb("take", takeArguments({ addresses })).exit).toMatchObject({ code: 0 });
    expect(pg2.read("ticket")).toEqual(ticketRecord("promoted"));
    expectUntouched(pg2, own2);
  });
});

describe("before anything is touched,", limits, () => {
  const refused = (reason: string) => ({ event: "refused", reason });

  it.each([
    [{ ...four, nic: "eth7" }, "it has no interface eth7 with an address, which is to carry 198.51.100.50/24"],
    [
      { address: "203.0.113.50", prefix: 24, nic: "" },
      "none of its interfaces has an address in the network of 203.0.113.50/24",
    ],
    [six, "none of its interfaces has an address in the network of 2001:db8::50/64"],
  ])("a target that could not carry %j is not armed", async (wanted, reason) => {
    const take = pg2.verb("take", takeArguments({ addresses: [wanted] }));
    const listener = await pg2.connect("take", epoch);
    expect(await listener.hear()).toEqual(refused(reason));
    listener.leave();
    await take.exit;
    expect(pg2.read("ticket")?.state).not.toBe("armed");
  });

  it("an old primary that could not fall silent is not armed", async () => {
    pg1.set("no-rules");
    scriptTarget(pg1, {});
    const give = pg1.verb("give", giveArguments({ addresses }));
    const listener = await pg1.connect("give", epoch);
    expect(await listener.hear()).toEqual(
      refused("it cannot fall silent for its virtual IPs: Error: Could not process rule: Operation not supported"),
    );
    listener.leave();
    await give.exit;
    expect(pg1.read("switch")).toBeUndefined();
    expect(pg1.isWritable).toBe(true);
  });
});

describe("after a process died in the middle,", limits, () => {
  /** As it is between falling silent and leaving. */
  function fallSilent(host: PretendHost): void {
    host.layRun("silent", { addresses });
    host.set("rules", "table arp pgha.orders.pg1 { ... }");
  }

  it("the old host's next one leaves them when the ticket was consumed", async () => {
    fallSilent(pg1);
    pg1.lay("switch", switchRecord("stopping"));
    scriptTarget(pg1, { revoke: tells({ answer: "consumed" }) });
    expect(await pg1.verb("give", giveArguments({ addresses })).exit).toMatchObject({ code: 0 });
    expectLeft();
  });

  it("the old host answers again when it comes back", async () => {
    fallSilent(pg1);
    pg1.lay("switch", switchRecord("stopping"));
    scriptTarget(pg1, { revoke: tells({ answer: "revoked" }) });
    expect(await pg1.verb("give", giveArguments({ addresses })).exit).toMatchObject({ code: 0 });
    await expect.poll(() => pg1.isWritable, soon).toBe(true);
    expectUntouched(pg1, own1 + virtual);
  });

  it("a primary that is armed for the next handover answers again", async () => {
    fallSilent(pg1);
    scriptTarget(pg1, { ticket: "exit" });
    await armedGive(pg1, { addresses });
    expectUntouched(pg1, own1 + virtual);
  });

  it("a target that is armed for the next handover has left what it was to leave", async () => {
    pg2.set("addresses", own2 + virtual);
    fallSilent(pg2);
    await armedTake(pg2, { addresses });
    expectUntouched(pg2, own2);
  });

  it("one that gives way to the target for good leaves them", async () => {
    fallSilent(pg1);
    pg1.lay("switch", switchRecord("stopping"));
    const gives = pg1.verb("give_way", { lock: pg1.paths.lock, epoch, journal: epoch });
    expect(await gives.hear()).toEqual({ result: "follows" });
    expectLeft();
  });

  const settle = (host: PretendHost, owner: number, given: object[] = addresses) =>
    host.verb("settle_addresses", { lock: host.paths.lock, epoch, addresses: given, owner });

  it("an orchestrator that holds the cluster takes them from every host but the primary's, which answers again", async () => {
    fallSilent(pg1);
    pg2.set("addresses", own2 + virtual);
    fallSilent(pg2);
    expect(await settle(pg1, 0).hear()).toEqual({ result: "settled" });
    expectLeft();
    expect(await settle(pg2, 1).hear()).toEqual({ result: "settled" });
    expectUntouched(pg2, own2 + virtual);
  });

  it("also where no handover left anything: one that somebody added by hand", async () => {
    expect(await settle(pg1, 0).hear()).toEqual({ result: "settled" });
    expectLeft();
  });

  it("without addresses it only clears away what a handover left", async () => {
    fallSilent(pg1);
    expect(await settle(pg1, 1, []).hear()).toEqual({ result: "settled" });
    expectUntouched(pg1, own1 + virtual);
    fallSilent(pg1);
    expect(await settle(pg1, 0, []).hear()).toEqual({ result: "settled" });
    expectLeft();
  });

  it("one that does not hold the cluster changes nothing", async () => {
    fallSilent(pg1);
    pg1.layLock({ epoch: 6 });
    expect(await settle(pg1, 0).hear()).toMatchObject({ result: "lock lost" });
    expect(pg1.get("addresses")).toBe(own1 + virtual);
    expect(pg1.has("rules")).toBe(true);
  });

  it("an address that cannot be removed is told", async () => {
    pg1.set("stuck");
    expect(await settle(pg1, 0).hear()).toEqual({
      result: "refused",
      reason: "an address that moves with the primary cannot be removed from its host",
    });
  });
});

describe("what goes over the wire", limits, () => {
  it("is an ARP announcement, whose sender and target are the same", async () => {
    const [frame] = await hosts.evaluate([["arp_announcement_of", "02:00:00:00:00:12", address]]);
    expect(frame).toBe(
      ["ffffffffffff", "020000000012", "0806", "0001080006040001"].join("") +
        ["020000000012", "c6336432", "000000000000", "c6336432"].join(""),
    );
  });

  it("is an unsolicited neighbour advertisement that overrides what was known", async () => {
    const [message] = await hosts.evaluate([["neighbour_advertisement_of", "02:00:00:00:00:12", six.address]]);
    expect(message).toBe("8800000020000000" + "20010db8000000000000000000000050" + "0201020000000012");
  });

  it("is silenced for both families in one piece, and nothing of the table stays afterwards", async () => {
    const member = { cluster: "orders", member: "pg1" };
    const [rules, lifted] = await hosts.evaluate([
      ["silence_rules", member, [four, six]],
      ["silence_lifted", member],
    ]);
    const cleared = ["arp", "ip6"]
      .map((family) => `table ${family} pgha.orders.pg1\ndelete table ${family} pgha.orders.pg1\n`)
      .join("");
    const chain = (family: string, rule: string) =>
      `table ${family} pgha.orders.pg1 {\n chain output {\n  type filter hook output priority 0; policy accept;\n  ${rule} drop\n }\n}\n`;
    expect(lifted).toBe(cleared);
    expect(rules).toBe(
      cleared +
        chain("arp", `arp saddr ip { ${address} }`) +
        chain("ip6", `ip6 saddr { ${six.address} } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }`),
    );
  });

  it("the interface is the declared one, or the one in the same network", async () => {
    const found = [
      ["lo", "127.0.0.1", 8],
      ["eth0", "203.0.113.11", 24],
      ["eth1", "198.51.100.11", 25],
      ["eth1", "2001:db8::11", 64],
    ];
    const cases: [object, string | null][] = [
      [four, "eth1"],
      [six, "eth1"],
      [{ ...four, nic: "eth0" }, "eth0"],
      [{ ...four, nic: "eth9" }, null],
      [{ ...four, address: "198.51.100.200", prefix: 25 }, null],
    ];
    expect(await hosts.evaluate(cases.map(([wanted]) => ["interface_for", wanted, found]))).toEqual(
      cases.map(([, nic]) => nic),
    );
  });
});
