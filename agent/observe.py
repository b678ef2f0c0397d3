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
    wal = os.path.join(directory, "pg_wal")
    found["timeline"] = max(
        int(found["timeline"]),
        int(found.pop("recoveryTimeline", "0")),
        newest_history(wal),
    )
    found["began"] = timeline_began(wal, found["timeline"])
    return found


def timeline_began(directory, timeline):
    """Where it left the one before, by its history file; None for the first, and without the file. Members that were
    promoted apart from each other may give theirs the same number."""
    past = past_timelines(directory, timeline)
    return {"timeline": past[-1][0], "endLsn": past[-1][1]} if past else None


def past_timelines(directory, timeline):
    """By its history file in this directory: each with where the next one left it."""
    text = read_text(os.path.join(directory, "%08X.history" % timeline)) or ""
    found = re.findall(r"^\s*(\d+)\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})(?:\s|$)", text, re.MULTILINE)
    return [[int(number), lsn] for number, lsn in found]


def beginning(began):
    """The same place is the same text. Promotions that know nothing of each other give their timelines the same number."""
    if not began:
        return ""
    high, low = (int(part, 16) for part in began["endLsn"].split("/"))
    return "%X/%X of timeline %d" % (high, low, began["timeline"])


def newest_history(directory):
    """pg_control lags: WAL of a new timeline may be here, and acknowledged, while it still names the old one."""
    try:
        names = os.listdir(directory)
    except OSError:
        return 0
    return max([int(name[:8], 16) for name in names if re.fullmatch("[0-9A-F]{8}\\.history", name)], default=0)


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


# An attribute of the directory itself, not a file in it: initdb and pg_basebackup demand an empty directory, and a file
# system that is mounted over it does not have it. It stays through reboots, whatever numbers devices get then.
TOKEN = "user.pgha.token"


def token_of(directory):
    """What `clear` put on a directory of ours; None on any other, and where a file system has no such attributes."""
    try:
        return os.getxattr(directory, TOKEN).decode("ascii", "replace")
    except OSError:
        return None


def wal_facts(data_directory, directory):
    """The declared directory of pg_wal; None without one. `pgWal`: where pg_wal leads, or None."""
    if directory == "":
        return None
    pg_wal = os.path.join(data_directory, "pg_wal")
    return {
        "kind": directory_kind(directory),
        "token": token_of(directory),
        "path": os.path.realpath(directory),
        "pgWal": os.path.realpath(pg_wal) if os.path.lexists(pg_wal) else None,
    }


def show_units(units):
    """The state of each: one question for all of them."""
    _, text = run(["systemctl", "show", "--property=LoadState,ActiveState,SubState,UnitFileState"] + units, 10)
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return dict(zip(units, blocks))


# States of a unit that does nothing, and does not begin to.
AT_REST = ("inactive", "failed", "absent")


def unit_state(unit):
    return state_in(show_units([unit]).get(unit, {}))


def state_in(properties):
    if properties.get("LoadState") != "loaded":
        return "absent", False
    if properties.get("SubState") == "start-pre":
        return "waiting", properties.get("UnitFileState") == "enabled"  # at its boot gate: PostgreSQL does not run
    return properties.get("ActiveState", "absent"), properties.get("UnitFileState") == "enabled"


# Services that may promote a standby on their own.
FAILOVER_MANAGERS = {
    name + ".service": name
    for name in ("pacemaker", "patroni", "pgautofailover", "pgpool2", "repmgrd", "stolon-keeper")
}


def existing_parent(path):
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def free_bytes(path):
    stat = os.statvfs(existing_parent(path))
    return stat.f_bavail * stat.f_frsize


def ticket_seen(path):
    ticket = read_record(path)
    return {"epoch": ticket["epoch"], "state": ticket["state"]} if "state" in ticket else None


def corosync_rings():
    try:
        return run(["corosync-cfgtool", "-s"], 5)[1] or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def observe(arguments):
    directory = arguments["dataDirectory"]
    units = show_units([arguments["unit"]] + list(FAILOVER_MANAGERS))
    active, enabled = state_in(units.get(arguments["unit"], {}))
    files = {path: read_text(path) for path in arguments["files"]}
    running = [name for unit, name in FAILOVER_MANAGERS.items() if units.get(unit, {}).get("ActiveState") == "active"]
    asks_pacemaker = arguments.get("pacemaker") and "pacemaker" in running
    say(
        marker=read_text(arguments["marker"]),
        journal=read_text(arguments["journal"]),
        givenUp=read_text(arguments["givenUp"]),
        lock=lock_state(arguments["lock"]),
        ticket=ticket_seen(arguments["ticket"]),
        switch=read_record(arguments["switch"]) or None,
        gate=read_text(arguments["gateReason"]) if active == "waiting" else None,
        channelKey=read_text(arguments["channelKey"] + ".pub"),
        authorized=read_text(arguments["authorized"]),
        dataDirectory=directory_kind(directory),
        dataToken=token_of(directory),
        walDirectory=wal_facts(directory, arguments["walDirectory"]),
        standbySignal=os.path.exists(os.path.join(directory, "standby.signal")),
        controlData=control_data(arguments["programs"], directory),
        unit=active,
        unitEnabled=enabled,
        files={path: text for path, text in files.items() if text is not None},
        freeBytes=free_bytes(directory),
        walFreeBytes=free_bytes(os.path.join(directory, "pg_wal")),
        failoverManagers=running,
        pacemaker=(crm_mon()[1] or None) if asks_pacemaker else None,
        rings=corosync_rings() if asks_pacemaker else None,
        relaxed=recorded_since(arguments["relaxed"]) if arguments.get("relaxed") else {},
        now=time.time(),
    )
