import { type Group, memberOf } from "../group.ts";
import { type MemberObservation, reachedMembers } from "../observation.ts";
import { pacemakerProblems, unpromotable } from "../pacemaker/explain.ts";
import { maintenanceWayOut } from "../pacemaker/operatorOrders.ts";
import { brokenRings, ringNodes } from "../pacemaker/rings.ts";
import type { RunningStatus } from "../pacemaker/status.ts";
import {
  maintenanceOf,
  managesCluster,
  ownResources,
  pacemakerView,
  promotedMember,
  relaxedMembers,
} from "../pacemaker/view.ts";
import { block, type Check, ok, type Subject, secondsText, warn } from "./check.ts";

export function lockCheck({ heldLock }: Subject): Check {
  const name = "no other orchestrator";
  if (heldLock === undefined) return ok(name, "none", "none");
  const { holder, since, member } = heldLock;
  return block(
    name,
    `${holder} holds the cluster since ${since} (seen on ${member})`,
    "none",
    "Wait for it to end; a dead one loses its hold after 30 s.",
  );
}

/** Who fails over must be well, and in his place: a switchover lets him stand back for its time and manage again. */
export function managerCheck(subject: Subject): Check {
  return subject.group.failover.manager === "pacemaker" ? pacemakerCheck(subject) : strangersCheck(subject);
}

function pacemakerCheck({ group, limits, from, to, observations }: Subject): Check {
  const name = "failover manager";
  const limit = "Pacemaker manages it, with quorum, and nothing failed";
  const status = pacemakerView(observations);
  if (status === undefined || !managesCluster(status, group.cluster)) {
    return warn(
      name,
      status === undefined ? "Pacemaker answers on no host" : `Pacemaker does not know ${group.cluster} yet`,
      limit,
      "Run `pulumi up` to its end: until then nobody fails over.",
    );
  }
  const maintenance = maintenanceOf(status, group.cluster);
  if (maintenance !== undefined) {
    return block(name, maintenance, limit, `${maintenanceWayOut(group.cluster)}.`);
  }
  const relaxed = Object.entries(relaxedMembers(group, observations)).map(([member, text]) => `${member}: ${text}`);
  if (relaxed.length > 0) {
    return block(
      name,
      relaxed.join("; "),
      limit,
      "Bring a standby back, and wait until preview no longer tells of it.",
    );
  }
  const own = ownResources(status, group.cluster);
  const hosts = [from, to].map((member) => memberOf(group, member).host);
  const all = [...pacemakerProblems(status, own), ...unpromotable(status, own)];
  const hindering = pacemakerProblems(hindrances(status, hosts), own);
  if (hindering.length > 0) {
    return block(name, hindering.join("; "), limit, "Put that right: `crm_mon -1` on a host tells more.");
  }
  const broken = ringProblems(status, group, observations);
  if (broken.length > limits.brokenRings) {
    const remedy =
      "Put the network right, or allow them: limits.brokenRings (with what is left, a further fault fences a host).";
    return block(name, broken.join("; "), limit, remedy);
  }
  const promoted = promotedMember(status, group);
  if (promoted !== from) {
    return block(
      name,
      `Pacemaker has promoted ${promoted ?? "nobody"}, the primary is ${from}`,
      limit,
      "Let it look again (`crm_resource --refresh`), and see why it believes so.",
    );
  }
  if (all.length + broken.length > 0) {
    return warn(
      name,
      [...all, ...broken].join("; "),
      limit,
      "It does not hinder this, but look at it: `crm_mon -1` on a host.",
    );
  }
  return ok(name, `Pacemaker, decided by ${status.coordinator}, has promoted ${from}`, limit);
}

function ringProblems(status: RunningStatus, group: Group, observations: readonly MemberObservation[]): string[] {
  const said = reachedMembers(observations).flatMap(({ member, local: { rings } }) =>
    rings === undefined ? [] : [[memberOf(group, member).host, rings] as const],
  );
  const byHost = Object.fromEntries(said);
  return brokenRings(ringNodes(status.nodes, byHost), byHost);
}

/** What of it concerns these nodes, or everybody: that another node is away, or something failed once, hinders nobody. */
function hindrances(status: RunningStatus, hosts: readonly string[]): RunningStatus {
  return {
    ...status,
    nodes: status.nodes.filter((node) => node.unclean || hosts.includes(node.name)),
    bans: status.bans.filter(({ node }) => hosts.includes(node)),
    failedActions: [],
    failCounts: status.failCounts.filter(({ node, count, threshold }) => hosts.includes(node) && count >= threshold),
  };
}

/** With `failover.manager: none` nobody is to fail over: one that runs all the same may promote in the middle of ours. */
function strangersCheck({ observations }: Subject): Check {
  const name = "failover manager";
  const running = reachedMembers(observations).flatMap(({ member, local }) =>
    local.failoverManagers.map((manager) => `${manager} runs on ${member}`),
  );
  if (running.length === 0) return ok(name, "none declared, none runs", "as declared");
  return warn(
    name,
    `none declared, but ${running.join(", ")}`,
    "as declared",
    "Stop it, or make sure that it leaves this cluster alone: it may promote another member meanwhile.",
  );
}

/** Locks and tickets live by each host's own boot clock; certificates, logs and recovery to a time do not. */
export function clocksCheck({ limits, observations }: Subject): Check {
  const name = "clocks";
  const limit = `${limits.clockSeconds} s apart`;
  const clocks = reachedMembers(observations).map(({ member, local }) => ({ member, ...local.clock }));
  const pairs = clocks.flatMap((fast) =>
    clocks.map((slow) => ({
      fast: fast.member,
      slow: slow.member,
      seconds: fast.aheadSeconds - slow.aheadSeconds - fast.uncertainSeconds - slow.uncertainSeconds,
    })),
  );
  const widest = pairs.reduce((one, other) => (other.seconds > one.seconds ? other : one));
  if (widest.seconds <= limits.clockSeconds)
    return ok(name, `${secondsText(Math.max(0, widest.seconds))} apart`, limit);
  return warn(
    name,
    `${widest.fast} is ${secondsText(widest.seconds)} ahead of ${widest.slow}`,
    limit,
    "Let both hosts follow a time server (timedatectl).",
  );
}
