"""What must be looked at or done on a host as one piece. Sent over the SSH connection at every use: nothing to install,
nothing to go stale. Speaks lines of JSON on standard output. Needs only python3-minimal, 3.9 or later: Debian's
minimal Python has no json module, hence `to_json` here and literal_eval for the arguments.

It holds no opinion about the cluster: who may be primary is decided elsewhere."""

import ast
import fcntl
import os
import struct
import subprocess
import sys
import time


def to_json(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        escaped = "".join(
            c if " " <= c <= "~" and c not in '"\\' else "".join("\\u%04x" % u for u in utf16(c)) for c in value
        )
        return '"' + escaped + '"'
    if isinstance(value, dict):
        return "{" + ",".join(to_json(str(k)) + ":" + to_json(v) for k, v in value.items()) + "}"
    return "[" + ",".join(to_json(v) for v in value) + "]"


def utf16(character):
    data = character.encode("utf-16-be", "replace")
    return struct.unpack(">%dH" % (len(data) // 2), data)


def say(**fields):
    sys.stdout.write(to_json(fields) + "\n")
    sys.stdout.flush()


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def fsync_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path, text, mode=0o600):
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    fsync_directory(os.path.dirname(path))


def run(argv, seconds):
    environment = dict(os.environ, LC_ALL="C")
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=seconds)
    return done.returncode, done.stdout.decode("utf-8", "replace")


# --- observe

CONTROL_FIELDS = {
    "Database system identifier": "systemIdentifier",
    "Database cluster state": "state",
    "Latest checkpoint location": "checkpointLsn",
    "Latest checkpoint's TimeLineID": "timeline",
    "Min recovery ending loc's timeline": "recoveryTimeline",
}


def control_data(programs, directory):
    program = os.path.join(programs, "pg_controldata")
    if not os.path.exists(program):
        return None
    code, text = run([program, "-D", directory], 10)
    if code != 0:
        return None
    found = {}
    for line in text.splitlines():
        label, _, value = line.partition(":")
        if label in CONTROL_FIELDS:
            found[CONTROL_FIELDS[label]] = value.strip()
    if "systemIdentifier" not in found:
        return None
    found["timeline"] = max(int(found["timeline"]), int(found.pop("recoveryTimeline", "0")))
    return found


def directory_kind(path):
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return "missing"
    except NotADirectoryError:
        return "foreign"
    if not names:
        return "empty"
    return "data" if "PG_VERSION" in names else "foreign"


def unit_state(unit):
    _, text = run(["systemctl", "show", unit, "--property=LoadState,ActiveState,UnitFileState"], 10)
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if properties.get("LoadState") != "loaded":
        return "absent", False
    return properties.get("ActiveState", "absent"), properties.get("UnitFileState") == "enabled"


def existing_parent(path):
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def free_bytes(path):
    stat = os.statvfs(existing_parent(path))
    return stat.f_bavail * stat.f_frsize


def observe(arguments):
    directory = arguments["dataDirectory"]
    active, enabled = unit_state(arguments["unit"])
    files = {path: read_text(path) for path in arguments["files"]}
    say(
        marker=read_text(arguments["marker"]),
        journal=read_text(arguments["journal"]),
        lock=lock_state(arguments["lock"]),
        dataDirectory=directory_kind(directory),
        standbySignal=os.path.exists(os.path.join(directory, "standby.signal")),
        controlData=control_data(arguments["programs"], directory),
        unit=active,
        unitEnabled=enabled,
        files={path: text for path, text in files.items() if text is not None},
        freeBytes=free_bytes(directory),
        now=time.time(),
    )


# --- lock: one orchestrator at a time. Its life is measured on this host's boot clock, so no clock can be set wrong.

LOCK_LIFE_SECONDS = 30


def boot_clock():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id():
    return (read_text("/proc/sys/kernel/random/boot_id") or "").strip()


def read_lock(path):
    text = read_text(path)
    try:
        lock = ast.literal_eval(text) if text else None
    except (SyntaxError, ValueError):
        lock = None
    free = {"epoch": 0, "holder": "", "since": "", "renewed": 0.0, "boot": ""}
    # A damaged file must not keep anybody from looking at the member.
    return lock if isinstance(lock, dict) and free.keys() <= lock.keys() else free


def lock_state(path):
    lock = read_lock(path)
    age = boot_clock() - lock["renewed"]
    alive = lock["holder"] != "" and lock["boot"] == boot_id() and age < LOCK_LIFE_SECONDS
    return {"epoch": lock["epoch"], "holder": lock["holder"], "since": lock["since"], "alive": alive}


def hold(arguments):
    """Takes the lock, then obeys lines: `renew`, `release`. End of input leaves it to run out."""
    path, epoch = arguments["path"], arguments["epoch"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    guard = os.open(path + ".guard", os.O_RDWR | os.O_CREAT, 0o600)

    def change(holder, must_be_ours):
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            current = lock_state(path)
            # A hold that ran out is not revived: others may have acted on its end.
            if must_be_ours and (current["epoch"] != epoch or not current["alive"]):
                return current
            if not must_be_ours and (current["alive"] or current["epoch"] >= epoch):
                return current
            write_durably(
                path,
                to_json(
                    {
                        "epoch": epoch,
                        "holder": holder,
                        "since": arguments["since"],
                        "renewed": boot_clock(),
                        "boot": boot_id(),
                    }
                ),
            )
            return None
        finally:
            fcntl.flock(guard, fcntl.LOCK_UN)

    refused = change(arguments["holder"], False)
    if refused is not None:
        say(result="refused", **refused)
        return
    say(result="held")
    for line in sys.stdin:
        word = line.strip()
        refused = change("" if word == "release" else arguments["holder"], True)
        say(result="lost" if refused else word)
        if refused or word == "release":
            return


def while_held(arguments, act):
    """Does `act` only while this host's lock is alive and of our epoch; meanwhile nobody can take it over. A word that
    arrives late, from an orchestrator that was cut off or asleep, so does nothing."""
    guard = os.open(arguments["lock"] + ".guard", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(guard, fcntl.LOCK_EX)
    try:
        current = lock_state(arguments["lock"])
        if current["epoch"] != arguments["epoch"] or not current["alive"]:
            say(result="lock lost", **current)
            return False
        act()
        return True
    finally:
        os.close(guard)


# --- demote: stands armed beside the primary, so that the outage begins with one line and not with a new process

SHUT_DOWN = 1  # DBState DB_SHUTDOWNED


def read_control(descriptor):
    """system identifier, state, checkpoint LSN, timeline (ControlFileData, src/include/catalog/pg_control.h)"""
    while True:
        data = os.pread(descriptor, 64, 0)
        if data == os.pread(descriptor, 64, 0):
            (identifier,) = struct.unpack_from("=Q", data, 0)
            (state,) = struct.unpack_from("=I", data, 16)
            (checkpoint,) = struct.unpack_from("=Q", data, 32)
            (timeline,) = struct.unpack_from("=I", data, 48)
            return identifier, state, checkpoint, timeline


def demote(arguments):
    """Waits for the line `go`; anything else, and above all the end of input, leaves the primary alone."""
    directory = arguments["dataDirectory"]
    descriptor = os.open(os.path.join(directory, "global", "pg_control"), os.O_RDONLY)
    owner = os.stat(directory)
    say(result="armed")
    if sys.stdin.readline().strip() != "go":
        say(result="disarmed")
        return
    started = time.monotonic()
    stopping = []

    def stop():
        command = ["systemctl", "stop", "--no-block", arguments["unit"]]
        stopping.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        # Durable before anybody may promote: after a power cut this host must come back as a standby.
        created = os.open(os.path.join(directory, "standby.signal"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.fchown(created, owner.st_uid, owner.st_gid)
        os.fsync(created)
        os.close(created)
        fsync_directory(directory)

    if not while_held(arguments, stop):
        return
    while time.monotonic() - started < arguments["limitSeconds"]:
        identifier, state, checkpoint, timeline = read_control(descriptor)
        if state == SHUT_DOWN:
            say(
                result="shut down",
                systemIdentifier=str(identifier),
                checkpointLsn="%X/%X" % (checkpoint >> 32, checkpoint & 0xFFFFFFFF),
                timeline=timeline,
                milliseconds=round((time.monotonic() - started) * 1000, 1),
            )
            stopping[0].wait(10)
            return
        time.sleep(0.0005)
    say(result="not shut down")


# --- restore: the old primary comes back

HUNG_STOP_SECONDS = 15


def restore(arguments):
    """A postmaster that lingers after `shut down`, for a standby that does not answer, is not waited for."""
    unit, directory = arguments["unit"], arguments["dataDirectory"]
    descriptor = os.open(os.path.join(directory, "global", "pg_control"), os.O_RDONLY)

    def stop():
        run(["systemctl", "stop", "--no-block", unit], 10)

    if not while_held(arguments, stop):
        return
    began = quit_at = time.monotonic()
    while unit_state(unit)[0] not in ("inactive", "failed"):
        now = time.monotonic()
        if now - began > arguments["limitSeconds"]:
            say(result="not stopped")
            return
        # Before that, quitting is a crash, which empties unlogged tables: only a stop that hangs is ended so.
        if now >= quit_at and (read_control(descriptor)[1] == SHUT_DOWN or now - began > HUNG_STOP_SECONDS):
            run(["systemctl", "kill", "--kill-who=main", "--signal=SIGQUIT", unit], 10)
            quit_at = now + 5
        time.sleep(0.01)

    def start():
        try:
            os.unlink(os.path.join(directory, "standby.signal"))
        except FileNotFoundError:
            pass
        fsync_directory(directory)
        run(["systemctl", "reset-failed", unit], 10)
        run(["systemctl", "start", "--no-block", unit], 10)

    if while_held(arguments, start):
        say(result="started")


VERBS = {"observe": observe, "hold": hold, "demote": demote, "restore": restore}


def main():
    verb = sys.argv[1]
    VERBS[verb](ast.literal_eval(sys.argv[2]))


main()
