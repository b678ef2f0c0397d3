# --- cut off: a member that another one left behind within a record comes to stream again

# Nobody will write the rest of a record at whose begin another member was promoted. Who asks for it asks in vain, or is sent
# what does not belong there, as soon as the new primary has written so much.


def record_left_behind(member):
    """Of which timeline and from where to where there is an unfinished record, if the newest timeline that this member knows
    of, and has nothing of, left exactly there; None otherwise. So everything before it is in that timeline's history."""
    wal = os.path.join(member["dataDirectory"], "pg_wal")
    timeline = max((int(name[:8], 16) for name in wal_files(member["dataDirectory"])), default=0)
    newest = newest_history(wal)
    mine, theirs = past_timelines(wal, timeline), past_timelines(wal, newest)
    left = [lsn for number, lsn in theirs if number == timeline]
    if newest <= timeline or not left or theirs[: len(mine)] != mine or theirs[len(mine)][0] != timeline:
        return None
    control = control_fields(member["programs"], member["dataDirectory"])
    lsn, _ = resting_position(member, control)
    if lsn_value(lsn) != lsn_value(left[0]):
        return None
    size = int(control["Bytes per WAL segment"])
    to = partial_record_to(member["dataDirectory"], timeline, lsn_value(lsn), size)
    return to and {"timeline": timeline, "lsn": lsn, "to": lsn_text(to), "segmentBytes": size}


def cut_record(member, record):
    """Of a member that does not run. Returns what is to be told of it."""
    timeline, lsn, to, size = (record[name] for name in ("timeline", "lsn", "to", "segmentBytes"))
    what = "what it had of an unfinished record, WAL from %s to %s (timeline %d)" % (lsn, to, timeline)
    if free_bytes(kept_directory(member)) <= size:
        raise Refused("there is no room in /var/lib/pgha to keep aside %s" % what)
    target = keep_pieces(member, record, (lsn, to), what, "that record was cut off")
    cut_off(member["dataDirectory"], timeline, lsn_value(lsn), size)
    return "%s, is kept in %s" % (what, target)


def cut_at_start(member):
    """A standby starts, whatever comes of it."""
    try:
        record = record_left_behind(member)
        if record is not None:
            report(5, "%s: %s" % (member["member"], cut_record(member, record)))
    except (OSError, Refused, subprocess.SubprocessError) as error:
        report(4, "%s keeps an unfinished record at the end of its WAL: %s" % (member["member"], error))


def leave_record(path):
    """A standby that runs and was left behind is ended; systemd starts it again, and its boot gate then cuts the record off.
    Once for each such record in one boot, whatever comes of it. Exit code 1: it was left as it is."""
    member = read_member(path)
    record = record_left_behind(member) if is_marked_standby(member) else None
    if record is None or lock_state(member["lock"])["alive"] or journal_epoch(member) > 0:
        sys.exit(1)
    word, text = os.path.join(member["runDirectory"], "left"), "%d %s" % (record["timeline"], record["lsn"])
    if read_text(word) == text:
        sys.exit(1)
    os.makedirs(member["runDirectory"], mode=0o700, exist_ok=True)
    with open(word, "w", encoding="utf-8") as file:
        file.write(text)
    told = "%s asks in vain for the rest of a record, begun at %s, where timeline %d was left: it is started again without it"
    report(5, told % (member["member"], record["lsn"], record["timeline"]))
    ended, deadline = postmaster_pid(member), time.monotonic() + 2
    run(["systemctl", "kill", "--kill-who=main", "--signal=SIGINT", member["unit"]], 10)
    # Whoever asks next whether it takes connections means the new one.
    while postmaster_pid(member) == ended and time.monotonic() < deadline:
        time.sleep(0.02)


def kept_directory(member):
    return os.path.join(os.path.dirname(member["marker"]), "kept")


def keep_pieces(member, own, ends, what, before):
    """In which directory: complete, and on the disk."""
    timeline, size = own["timeline"], own["segmentBytes"]
    first, last = (wal_name(timeline, lsn, size) for lsn in (lsn_value(ends[0]), lsn_value(ends[1]) - 1))
    names = (kept_directory(member), timeline, *(lsn.replace("/", "-") for lsn in ends))
    target = "%s/timeline-%d-from-%s-to-%s" % names
    readme = """%s of member %s of cluster %s, that no other member has.
Kept aside before %s. Nothing needs it: remove this directory when nobody misses what is in it.
What is in it:
  %s/pg_waldump --path . --timeline %d --start %s
""" % (what, member["member"], member["cluster"], before, member["programs"], timeline, ends[0])
    user = pwd.getpwuid(os.stat(member["dataDirectory"]).st_uid).pw_name
    files = ["%s %s" % (first, last)]
    reason = keep_aside({**member, "target": target, "files": files, "readme": readme, "user": user})
    if reason is not None:
        raise Refused(reason)
    return target
