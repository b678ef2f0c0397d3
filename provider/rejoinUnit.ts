import { memberPaths } from "../model/names.ts";
import { readFiles, writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";

/** Whose unit it is. */
interface Owner {
  readonly cluster: string;
  readonly member: string;
}

/** What lies there, and starts at boot; undefined where there is none, "" where it would not start. */
export async function readRejoinUnit(host: RemoteHost, owner: Owner): Promise<string | undefined> {
  const { path, wanted } = placesOf(owner);
  const [unit, started] = await readFiles(host, [path, wanted]);
  if (unit === undefined) return undefined;
  return started?.content === unit.content ? unit.content : "";
}

/** It counts from the next boot. */
export async function layRejoinUnit(host: RemoteHost, owner: Owner, content: string): Promise<void> {
  const { path, name } = placesOf(owner);
  await writeFile(host, { path, content, owner: "root", group: "root", mode: "0644", limitSeconds: 20 });
  await host.must({
    argv: ["sh", "-c", 'systemctl daemon-reload && systemctl --quiet enable "$1"', "sh", name],
    limitSeconds: 30,
    purpose: `enable ${name}`,
  });
}

/** One that has begun goes on. */
export async function removeRejoinUnit(host: RemoteHost, owner: Owner): Promise<void> {
  const { path, wanted, name } = placesOf(owner);
  await host.must({
    argv: [
      "sh",
      "-c",
      '[ ! -e "$1" ] && [ ! -L "$2" ] || { rm -f "$1" "$2" && systemctl daemon-reload; }',
      "sh",
      path,
      wanted,
    ],
    limitSeconds: 30,
    purpose: `remove ${name}`,
  });
}

function placesOf({ cluster, member }: Owner): { name: string; path: string; wanted: string } {
  const name = memberPaths(cluster, member).rejoinUnit;
  const folder = "/etc/systemd/system";
  return { name, path: `${folder}/${name}`, wanted: `${folder}/multi-user.target.wants/${name}` };
}
