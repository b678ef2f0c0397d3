import { setTimeout as pause } from "node:timers/promises";
import type { Lab } from "../../lab/lab.ts";
import { sql } from "./labStack.ts";

/** Samples inside every host, in its own namespaces, whether its server is writable: an isolated one cannot be asked from outside. */
export interface WritableWatch {
  /** Ends the sampling; returns the stretches in which two members were writable at once. */
  stop(): Promise<Overlap[]>;
  /** After `stop`: how often each member was seen writable, or not. */
  samples(): Readonly<Record<string, { readonly writable: number; readonly standby: number }>>;
}

export interface Overlap {
  readonly members: readonly [string, string];
  readonly fromMilliseconds: number;
  readonly toMilliseconds: number;
}

interface Sample {
  readonly milliseconds: number;
  readonly writable: boolean;
}

const limitSeconds = 900;
const pidFile = (port: number) => `/tmp/pgha-writable-watch-${port}.pid`;

/** One session as long as the server lives, asked every 20 ms; another one as soon as it lives again. */
const script = (port: number) => `
echo $$ > ${pidFile(port)}
trap 'kill "$child" 2>/dev/null; exit 0' TERM
statement="select 'sample', (extract(epoch from clock_timestamp()) * 1000)::bigint, not pg_is_in_recovery() \\\\watch 0.02"
while :; do
  echo "$statement" | PGCONNECT_TIMEOUT=2 psql --no-psqlrc -At -p ${port} 2>/dev/null & child=$!
  wait "$child"
  sleep 0.02
done`;

/** `members`: the hosts of one cluster's members, which have this port. */
export async function watchWritable(lab: Lab, members: readonly string[], port = 5432): Promise<WritableWatch> {
  const watched = new Map<string, Sample[]>();
  let ended = false;
  const running = members.map(async (member) => {
    const samples: Sample[] = [];
    // Its host may lose its power: the sampling goes on as soon as that comes back.
    while (!ended) {
      samples.push(...(await sampleInside(lab, member, port)));
      if (!ended) await pause(50);
    }
    watched.set(member, samples);
  });
  // The sessions stand before the test begins.
  await Promise.all(members.map((member) => waitForWatch(lab, member, port)));
  return {
    async stop() {
      ended = true;
      const kill = ["sh", "-c", `kill $(cat ${pidFile(port)})`];
      await Promise.allSettled(members.map(async (member) => lab.insideHost(member, kill, 10)));
      await Promise.all(running);
      return overlapsOf(watched);
    },
    samples: () =>
      Object.fromEntries(
        [...watched].map(([member, samples]) => {
          const writable = samples.filter((sample) => sample.writable).length;
          return [member, { writable, standby: samples.length - writable }];
        }),
      ),
  };
}

/** Until it is ended, or the host's power fails. */
async function sampleInside(lab: Lab, member: string, port: number): Promise<Sample[]> {
  const argv = ["runuser", "-u", "postgres", "--", "sh", "-c", script(port)];
  try {
    return samplesIn((await lab.insideHost(member, argv, limitSeconds)).stdout);
  } catch {
    return []; // The host is down.
  }
}

async function waitForWatch(lab: Lab, member: string, port: number): Promise<void> {
  const deadline = performance.now() + 20_000;
  const asking =
    "select count(*) from pg_stat_activity where query like 'select ''sample''%' and pid <> pg_backend_pid()";
  while ((await sql(lab, member, asking, port)) === "0") {
    if (performance.now() > deadline) throw new Error(`${member}: waited 20 s for the watch to open its session`);
  }
}

function samplesIn(output: string): Sample[] {
  return output.split("\n").flatMap((line) => {
    const match = /^sample\|(\d+)\|([tf])$/.exec(line);
    return match === null ? [] : [{ milliseconds: Number(match[1]), writable: match[2] === "t" }];
  });
}

/** Stretches in which every sample said writable; a member is taken for writable from the first to the last of them. */
function writableStretches(samples: readonly Sample[]): { from: number; to: number }[] {
  const stretches: { from: number; to: number }[] = [];
  let open = false;
  for (const { milliseconds, writable } of samples) {
    const last = stretches.at(-1);
    if (writable && open && last !== undefined && milliseconds - last.to < 1000) last.to = milliseconds;
    else if (writable) stretches.push({ from: milliseconds, to: milliseconds });
    open = writable;
  }
  return stretches;
}

function overlapsOf(watched: ReadonlyMap<string, readonly Sample[]>): Overlap[] {
  const all = [...watched].flatMap(([member, samples]) =>
    writableStretches(samples).map((stretch) => ({ member, ...stretch })),
  );
  return all.flatMap((one, index) =>
    all.slice(index + 1).flatMap((other): Overlap[] => {
      const fromMilliseconds = Math.max(one.from, other.from);
      const toMilliseconds = Math.min(one.to, other.to);
      if (one.member === other.member || fromMilliseconds > toMilliseconds) return [];
      return [{ members: [one.member, other.member], fromMilliseconds, toMilliseconds }];
    }),
  );
}
