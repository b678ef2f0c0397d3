import { expect, test } from "vitest";
import { file } from "../../provider/file.ts";
import { instance } from "../../provider/instance.ts";
import { packages } from "../../provider/packages.ts";
import { HostKeyRefused, LoginRefused, type RemoteError, Unreachable } from "../../remote/errors.ts";
import type { RemoteHosts } from "../../remote/host.ts";
import { openRemoteHosts } from "../../remote/pool.ts";
import { failureOf, startHarness } from "./harness.ts";

const types = { instance, file, packages };

const inputs = {
  instance: {
    cluster: "orders",
    member: "pg3",
    host: "pg3",
    dataDirectory: "/var/lib/postgresql/17/orders-pg3",
    unit: "[Unit]\n",
  },
  file: { host: "pg3", path: "/etc/motd", content: "hello\n" },
  packages: { host: "pg3", names: ["jq"] },
};

const stays = [
  "pgha-orders-pg3.service is forgotten, not stopped",
  "  Its service, and its data at /var/lib/postgresql/17/orders-pg3, stay on pg3 as they are.",
  "  There, now or when the host comes back: `systemctl disable --now pgha-orders-pg3.service`. Its boot gate keeps a former primary down until then.",
];

/** Every host answers with this error. */
function answering(error: (host: string) => RemoteError): RemoteHosts {
  const refuse = (name: string) => () => Promise.reject(error(name));
  return {
    names: async () => [],
    host: (name) => ({ name, run: refuse(name), must: refuse(name), start: refuse(name), socket: refuse(name) }),
    close() {},
  };
}

async function engineWith(hosts: RemoteHosts) {
  const engine = await startHarness(Object.values(types), { openHosts: async () => hosts });
  const deleteOne = async (type: keyof typeof inputs) => {
    const name = `${types[type].token}::${type}-of-pg3`;
    const checked = await engine.check(name, inputs[type]);
    expect(checked.failures).toEqual([]);
    await engine.delete(name, checked.inputs, checked.inputs);
    return engine.lines.splice(0).map(({ severity, text }) => `${severity}: ${text}`);
  };
  return { deleteOne };
}

test("what was laid on a host that does not answer is forgotten, and it is told what stays there", async () => {
  const reason = "pg3: found connect EHOSTUNREACH, expected an SSH server. Start the host.";
  const { deleteOne } = await engineWith(answering((host) => new Unreachable(host, reason)));
  expect(await deleteOne("instance")).toEqual([`warn: ${[...stays, `  ${reason}`].join("\n")}`]);
  expect(await deleteOne("file")).toEqual([`warn: /etc/motd is left on pg3 as it is\n  ${reason}`]);
  expect(await deleteOne("packages")).toEqual([]);
});

test("so it is on a host that is no longer declared", async () => {
  const { deleteOne } = await engineWith(openRemoteHosts([]));
  const reason = "pgha:hosts: found no host pg3, expected one of the declared hosts (none). Add it there.";
  expect(await deleteOne("instance")).toEqual([`warn: ${[...stays, `  ${reason}`].join("\n")}`]);
  expect(await deleteOne("file")).toEqual([`warn: /etc/motd is left on pg3 as it is\n  ${reason}`]);
});

test.each([
  ["offers another key than declared", (host: string) => new HostKeyRefused(host, "pg3.hostKey: found another key.")],
  ["lets nobody in", (host: string) => new LoginRefused(host, "pg3.hostKey: found another key.")],
])("a host that %s may be the one that is meant: an error, with the way to forget it", async (_, error) => {
  const { deleteOne } = await engineWith(answering(error));
  for (const type of ["instance", "file"] as const) {
    const { message } = await failureOf(deleteOne(type));
    expect(message).toBe(
      "pg3.hostKey: found another key.\n  To leave what is there as it is, and only forget it: take pg3 out of pgha:hosts too, then run `pulumi up`.",
    );
  }
});
