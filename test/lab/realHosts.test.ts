import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Lab, openLab } from "../../lab/lab.ts";
import type { NetworkName } from "../../lab/names.ts";
import { run, waitFor } from "../../lab/shell.ts";
import { testLabName } from "../support/testLab.ts";

let lab: Lab;

beforeAll(async () => {
  lab = await openLab({ name: testLabName, hosts: 3, fresh: true });
});
afterAll(async () => await lab?.down());

async function ssh(host: string, command: string, port = 22, address = lab.host(host).address): Promise<string> {
  const checks = [
    "-o",
    "BatchMode=yes",
    "-o",
    `UserKnownHostsFile=${lab.knownHostsFile}`,
    "-o",
    `HostKeyAlias=${host}`,
  ];
  const argv = ["ssh", "-i", lab.keyFile, ...checks, "-p", String(port), `root@${address}`, command];
  const output = await run(argv, { limitSeconds: 20 });
  return output.stdout.trim() || output.stderr.trim();
}

async function reaches(from: string, to: string, network: NetworkName): Promise<boolean> {
  const output = await lab.insideHost(from, ["ping", "-c1", "-W1", lab.host(to).addresses[network]], 5);
  return output.exitCode === 0;
}

test("a host lets root in by the lab's key, under the host key that was known before it booted", async () => {
  expect(await ssh("pg1", "hostname")).toBe("pg1");
});

test("killing a service's processes on one host leaves the same service alive on the others", async () => {
  await lab.insideHost("pg1", ["systemctl", "kill", "-s", "KILL", "dbus.service"], 10);
  expect((await lab.insideHost("pg2", ["systemctl", "is-active", "dbus.service"], 10)).stdout).toBe("active\n");
});

test("a host that dies says nothing to its peers, and comes back on the disk it had", async () => {
  await lab.insideHost("pg2", ["sh", "-c", "echo kept > /root/kept; sync"], 10);
  const before = await lab.insideHost("pg2", ["cat", "/proc/1/stat"], 10);
  const peer = connect(22, lab.host("pg2").address);
  await once(peer, "data");
  const heard: string[] = [];
  peer.on("end", () => heard.push("FIN")).on("error", (error) => heard.push(error.message));
  await lab.kill("pg2");
  await pause(1000);
  expect(heard).toEqual([]);
  peer.destroy();
  await lab.start("pg2");
  expect(await ssh("pg2", "cat /root/kept")).toBe("kept");
  expect((await lab.insideHost("pg2", ["cat", "/proc/1/stat"], 10)).stdout).not.toBe(before.stdout);
});

test("a partitioned host reaches nobody, can still be asked from inside, and boots while it is cut off", async () => {
  await lab.partition("pg2");
  expect(await reaches("pg2", "pg1", "replication")).toBe(false);
  await lab.kill("pg2");
  await lab.start("pg2");
  expect(await reaches("pg2", "pg1", "service")).toBe(false);
  expect((await lab.insideHost("pg2", ["hostname"], 5)).stdout).toBe("pg2\n");
  await lab.heal("pg2");
  expect(await reaches("pg2", "pg1", "service")).toBe(true);
});

test("a partition can be of one network and between two hosts only", async () => {
  await lab.partition("pg2", { networks: ["cluster"], from: ["pg1"] });
  expect([
    await reaches("pg2", "pg1", "cluster"),
    await reaches("pg2", "pg3", "cluster"),
    await reaches("pg2", "pg1", "service"),
  ]).toEqual([false, true, true]);
  await lab.heal();
  expect(await reaches("pg2", "pg1", "cluster")).toBe(true);
});

test("a frozen host is silent until it is thawed", async () => {
  await lab.freeze("pg3");
  const answer = ssh("pg3", "echo awake");
  const first = await Promise.race([answer, pause(1500, "silent")]);
  await lab.thaw("pg3");
  expect([first, await answer]).toEqual(["silent", "awake"]);
});

test("SSH works over a slow link, later", async () => {
  const link = await lab.slowLink("pg1", 80);
  const start = performance.now();
  expect(await ssh("pg1", "hostname", link.port, link.address)).toBe("pg1");
  expect(performance.now() - start).toBeGreaterThan(400);
  await link.stop();
});

test("a command inside a host ends at its limit", async () => {
  expect((await lab.insideHost("pg1", ["sleep", "4711"], 1)).exitCode).toBe(137);
  expect((await lab.insideHost("pg1", ["pgrep", "-x", "sleep"], 5)).stdout).toBe("");
});

test("a reset host is bare again under the same key", async () => {
  await lab.insideHost("pg3", ["touch", "/root/mine"], 5);
  await lab.reset("pg3");
  expect(await ssh("pg3", "ls /root/mine")).toContain("No such file or directory");
});

test("it is seen who answers for an address, nobody, one host or two", async () => {
  const hold = (host: string, verb: "add" | "del") =>
    lab.insideHost(host, ["ip", "address", verb, `${lab.virtualIp}/26`, "dev", "host0"], 10);
  const watch = await lab.watchOwners(lab.virtualIp);
  const answered = (owners: readonly string[]) =>
    waitFor(
      `${owners.join(" and ") || "nobody"} to answer`,
      10,
      () => watch.now()?.join() === owners.join() || undefined,
    );
  await answered([]);
  await hold("pg1", "add");
  await answered(["pg1"]);
  await hold("pg2", "add");
  await answered(["pg1", "pg2"]);
  await hold("pg1", "del");
  await answered(["pg2"]);
  await hold("pg2", "del");
  await answered([]);
  const seen = await watch.stop();
  expect(seen.owners.map(({ owner }) => owner).slice(0, 2)).toEqual(["pg1", "pg2"]);
  expect(seen.disputed.length).toBeGreaterThan(0);
  expect(seen.answered).toBeLessThan(seen.asked);
});

test("the management board switches a host off and on, as a fence agent asks", async () => {
  const password = (await run(["cat", lab.board.passwordFile])).stdout;
  const call = async (...argv: string[]): Promise<string> => {
    const url = `https://${lab.board.address}:${lab.board.port}/redfish/v1/Systems/pg3`;
    const curl = ["curl", "--silent", "--insecure", "--config", "-", ...argv.slice(1), `${url}${argv[0]}`];
    return (await run(curl, { stdin: `user = "${lab.board.user}:${password}"\n`, limitSeconds: 30 })).stdout;
  };
  const state = async (): Promise<string> => JSON.parse(await call("")).PowerState;
  const reset = "/Actions/ComputerSystem.Reset";
  expect(await state()).toBe("On");
  await call(reset, "--data", '{"ResetType":"ForceOff"}');
  expect(await state()).toBe("Off");
  await call(reset, "--data", '{"ResetType":"On"}');
  expect(await state()).toBe("On");
  const awake = await waitFor("pg3 to answer", 30, async () =>
    (await ssh("pg3", "hostname")) === "pg3" ? true : undefined,
  );
  expect(awake).toBe(true);
});
