# --- position: up to where a member has the WAL, for whoever counts on it that nothing acknowledged is missing

# The walreceiver's position counts from the moment that it was asked to stream, which is when everything of its own is replayed.
STANDBY_POSITION = """select pg_is_in_recovery(), case when pg_last_wal_receive_lsn() is not null
 then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) end""".replace("\n", "")


def member_position(member):
    """What is flushed here: of a standby that runs by its own word, of one that is stopped by its disk. `lsn`: where it ends,
    "" with a `reason` where that is not known; `walTimeline`: on which timeline. One that was left behind may know of a later
    one, which is then `timeline`, and have nothing of it."""
    control = control_fields(member["programs"], member["dataDirectory"])
    found = control_data(member["programs"], member["dataDirectory"]) or {}
    timelines = [int(name[:8], 16) for name in wal_files(member["dataDirectory"])]
    for label in ("Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline"):
        timelines.append(int(control.get(label, "0")))
    position = {
        "answer": "position",
        "systemIdentifier": found.get("systemIdentifier", ""),
        "timeline": found.get("timeline", 0),
        "walTimeline": max(timelines),
        "began": beginning(found.get("began")),
        # Numbers: whoever asks reads them as Python does.
        "running": int(postmaster_pid(member) is not None),
        "standby": int(is_marked_standby(member)),
        "starting": 0,
        "lsn": "",
    }
    if not position["running"] and not position["standby"]:
        position["starting"] = int(is_let_start(member))
    if not found:
        return {**position, "reason": "its pg_control cannot be read"}
    if read_record(member["marker"]).get("state") != "ready":
        return {**position, "reason": "its data is not complete"}
    lsn, reason = running_position(member) if position["running"] else resting_position(member, control)
    return {**position, "lsn": lsn, "reason": reason}


def is_let_start(member):
    """Its unit starts it, and it is not one that its boot gate keeps back."""
    state, _ = unit_state(member["unit"])
    return state in ("activating", "waiting") and not os.path.exists(member["gateReason"])


def running_position(member):
    sql = Sql(member)
    try:
        in_recovery, _, lsn = (sql.ask(STANDBY_POSITION, 4) or "").partition("|")
    finally:
        sql.close()
    if in_recovery == "f":
        return "", "it is writable"
    if in_recovery != "t":
        return "", "its PostgreSQL does not answer"
    return lsn, "" if lsn else "it is still replaying what it has itself"


def resting_position(member, control):
    directory = member["dataDirectory"]
    if os.path.exists(os.path.join(directory, "backup_label")):
        return "", "it was never started"
    segment_bytes = int(control.get("Bytes per WAL segment", "0"))
    files = wal_files(directory)
    arguments = {"programs": member["programs"], "dataDirectory": directory, "segmentBytes": segment_bytes}
    line = last_record(arguments, files, max((int(name[:8], 16) for name in files), default=0)) if segment_bytes else None
    end = dumped_record_end(line, segment_bytes)
    return (lsn_text(end), "") if end else ("", "the end of its WAL cannot be read")


def lsn_value(text):
    high, slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16) if slash else -1


def segment_number(name, size):
    """Of a WAL file's name without its timeline."""
    return (int(name[:8], 16) << 32) // size + int(name[8:], 16)
