import { formatSetting, type LiveSetting } from "../parameters.ts";
import { block, type Check, counted, listed, ok, type Subject, warn } from "./check.ts";

const walLevels = ["minimal", "replica", "logical"];
const archiving = ["archive_mode", "archive_command", "archive_library"];

/** Settings that a client would notice, or that would end the archive; those that are a member's own are not read. */
export function settingsCheck({ from, to, measured }: Subject): Check {
  const name = "settings";
  const limit = "equal";
  const [old, next] = [measured.primary.settings, measured.target.settings];
  const repair = "`pulumi up` without the change of primary lays the declared ones; some need a restart";
  const missing = measured.primary.preloaded.shared.filter(
    (library) => !measured.target.preloaded.shared.includes(library),
  );
  if (missing.length > 0) {
    return block(
      name,
      `${to} does not preload ${missing.join(", ")}`,
      limit,
      `Declare shared_preload_libraries under parameters:, and restart ${to}.`,
    );
  }
  if (rank(next.wal_level) < rank(old.wal_level)) {
    return block(name, differences(["wal_level"], from, to, old, next), limit, `${repair}.`);
  }
  const different = Object.keys({ ...old, ...next })
    .filter((key) => old[key]?.setting !== next[key]?.setting)
    .sort();
  if (different.length === 0) return ok(name, `${Object.keys(old).length} compared`, limit);
  const ofArchive = different.filter((key) => archiving.includes(key));
  if (ofArchive.length > 0 && old.archive_mode !== undefined && old.archive_mode.setting !== "off") {
    return block(
      name,
      differences(ofArchive, from, to, old, next),
      limit,
      `${from} archives, and ${to} would not archive alike. ${repair}.`,
    );
  }
  return warn(name, differences(different, from, to, old, next), limit, `${repair}.`);
}

function rank(walLevel: LiveSetting | undefined): number {
  return walLevels.indexOf(walLevel?.setting ?? "");
}

type Settings = Readonly<Record<string, LiveSetting>>;

/** "work_mem 4MB on pg1, 64MB on pg2"; of a text only the name, for its value was never read. */
function differences(names: readonly string[], from: string, to: string, old: Settings, next: Settings): string {
  const texts = names.map((name) => {
    const [one, two] = [old[name], next[name]];
    if (one === undefined || two === undefined) return `${name} only on ${one === undefined ? to : from}`;
    if (one.vartype === "string") return `${name} differs`;
    return `${name} ${formatSetting(one)} on ${from} and ${formatSetting(two)} on ${to}`;
  });
  return listed(texts);
}

/** A function whose library is missing fails only when it is called, and a preloaded one keeps the server from starting. */
export function extensionsCheck({ to, measured }: Subject): Check {
  const name = "extensions";
  const limit = `all on the host of ${to}`;
  const { extensions, offered, libraries, missingLibraries, unread } = measured.software;
  if (missingLibraries.length > 0) {
    return block(
      name,
      `library ${listed(missingLibraries)} missing on the host of ${to}`,
      limit,
      "Install the package that holds it there (packages: of the host).",
    );
  }
  const problems = extensions.flatMap((extension) => {
    const versions = offered[extension.name] ?? [];
    if (versions.includes(extension.version)) return [];
    const has = versions.length === 0 ? "it has none" : `it has ${listed(versions)}`;
    return [`${extension.name} ${extension.version} of ${listed(extension.databases)} missing (${has})`];
  });
  if (problems.length > 0) {
    return warn(name, problems.join(", "), limit, `Install the same packages on the host of ${to}.`);
  }
  const blind = Object.entries(unread).map(([database, reason]) => `${database} (${reason})`);
  if (blind.length > 0) {
    return warn(name, `not looked into: ${listed(blind)}`, limit, "Look there by hand: select * from pg_extension.");
  }
  return ok(
    name,
    [counted(extensions.length, "extension", "extensions"), counted(libraries.length, "library", "libraries")].join(
      ", ",
    ),
    limit,
  );
}
