import { agentPath, channelHome } from "../model/names.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";

/*
 * An account of its own, that can do nothing but run the host helper's verb `channel` for this very member: sshd gives its
 * keys no other command, and sudo no other either. A relay through a terminal would only delay the ticket. The clusters
 * that have members on one host may come at the same time: one waits for the other.
 */
const accountScript = `
set -eu
umask 077
home=$1 agent=$2 key=$3 name=$4
install -d -o root -g root -m 0755 "$home" "$home/.ssh"
exec 9>"$home/authorized.lock"
flock 9
getent passwd pgha >/dev/null ||
  useradd --system --user-group --home-dir "$home" --no-create-home --shell /bin/sh --password '*' pgha
install -d -o root -g root -m 0700 "$home/authorized"
sudoers=/etc/sudoers.d/pgha-channel
rules="Defaults:pgha !use_pty, !requiretty
pgha ALL=(root) NOPASSWD: /usr/bin/python3 -u $agent channel *"
if [ "$(cat "$sudoers" 2>/dev/null)" != "$rules" ]; then
  printf '%s\\n' "$rules" > "$sudoers.new"
  visudo -cqf "$sudoers.new"
  chmod 0440 "$sudoers.new"
  mv -f "$sudoers.new" "$sudoers"
fi
[ -e "$key" ] || ssh-keygen -q -t ed25519 -N '' -C "pgha $name" -f "$key"
cat "$key.pub"`;

/* Every member of the host has its part; sshd reads their sum. */
const authorizeScript = `
set -eu
umask 077
home=$1 part=$2
exec 9>"$home/authorized.lock"
flock 9
cat > "$home/part.new"
mv -f "$home/part.new" "$part"
cat "$home/authorized/"* > "$home/.ssh/authorized_keys.new"
chmod 0644 "$home/.ssh/authorized_keys.new"
mv -f "$home/.ssh/authorized_keys.new" "$home/.ssh/authorized_keys"
sync "$home/.ssh" "$part"`;

/**
 * Lets the members' hosts speak with each other: a key pair made on each host, whose private half never leaves it, and on
 * the others the right to ask that member's questions with it. Repeatable. A member that is not reached keeps the key it had.
 */
export async function ensureChannel(access: ClusterAccess, reached: readonly MemberAccess[]): Promise<void> {
  if (access.members.length < 2) return;
  const keys = new Map(
    await Promise.all(reached.map(async (member) => [member.name, await ensureAccount(access, member)] as const)),
  );
  await Promise.all(reached.map((member) => authorize(access, member, keys)));
}

async function ensureAccount(access: ClusterAccess, member: MemberAccess): Promise<string> {
  const name = `${access.group.cluster} ${member.name}`;
  const publicKey = await member.host.must({
    argv: ["sh", "-c", accountScript, "sh", channelHome, agentPath, member.paths.channelKey, name],
    limitSeconds: 30,
    purpose: `let the other members' hosts ask ${member.name}`,
  });
  return publicKey.trim();
}

async function authorize(
  access: ClusterAccess,
  member: MemberAccess,
  keys: ReadonlyMap<string, string>,
): Promise<void> {
  const { cluster } = access.group;
  const known = await authorizedLines(member);
  const command = `sudo -n /usr/bin/python3 -u ${agentPath} channel ${cluster} ${member.name}`;
  const lines = access.members
    .filter((other) => other !== member)
    .flatMap((other) => {
      const key = keys.get(other.name);
      if (key !== undefined) return [`command="${command}",restrict ${key}`];
      return known.filter((line) => line.endsWith(` pgha ${cluster} ${other.name}`));
    });
  await member.host.must({
    argv: ["sh", "-c", authorizeScript, "sh", channelHome, member.paths.authorized],
    stdin: lines.map((line) => `${line}\n`).join(""),
    limitSeconds: 20,
    purpose: `let the other members' hosts ask ${member.name}`,
  });
}

async function authorizedLines(member: MemberAccess): Promise<string[]> {
  const text = await member.host.must({
    argv: ["sh", "-c", 'cat "$1" 2>/dev/null || true', "sh", member.paths.authorized],
    limitSeconds: 20,
    purpose: `read who may ask ${member.name}`,
  });
  return text.split("\n").filter((line) => line !== "");
}
