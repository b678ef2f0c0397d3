# --- at boot, before Pacemaker starts: a primary whose place another member took comes back as a standby, by itself

SEARCH_SECONDS = 30  # for whoever was promoted; nothing on this host that Pacemaker manages starts meanwhile
BOOT_SILENCE_SECONDS = 10  # for members that do not answer, where nobody is known to have been promoted
SEARCH_RETRY_SECONDS = 0.5
CHECKPOINT_SECONDS = 120
REWIND_SECONDS = 600
STREAM_SECONDS = 30
QUICK_REWIND_BYTES = 1024**3  # a rewind reads so much at the most: it takes seconds, whatever the size of the database


def return_at_boot(path):
    """Ends soon whatever it finds: what is not done here stays as it is, for `pulumi up`."""
    member, began = read_member(path), time.monotonic()
    if "atBoot" not in member or is_marked_standby(member):
        return
    try:
        text = bring_back(member, began)
    except Refused as refusal:
        report(4, "%s does not come back by itself: %s. `pulumi up` brings it back" % (member["member"], refusal))
        return
    if text is not None:
        report(6, text)


def bring_back(member, began):
    """What was done, in words; None where nobody was promoted meanwhile."""
    marker = read_record(member["marker"])
    if marker.get("state") != "ready":
        raise Refused("its data is not complete (%s)" % marker.get("state", "no marker"))
    for unit in ("pacemaker.service", member["unit"]):
        if unit_state(unit)[0] not in AT_REST:
            raise Refused("%s runs already" % unit)
    if read_switch(member)["state"] == "stopping":
        raise Refused("the handover of epoch %d is not ended" % read_switch(member)["epoch"])
    reason = busy(member)
    if reason is not None:
        raise Refused(reason)
    name, source = find_promoted(member, began)
    if name is None:
        return None
    epoch = 1 + max(read_lock(member["lock"])["epoch"], source["lockEpoch"])
    with held_here(member, epoch):
        return follow_promoted(member, epoch, name, source, began)


def find_promoted(member, began):
    """The one primary that was promoted after this member, and what it tells of its WAL; nobody where nobody was."""
    own = control_data(member["programs"], member["dataDirectory"])
    if own is None:
        raise Refused("its pg_control cannot be read")
    while True:
        answers = ask_all(member)
        for name, answer in sorted(answers.items()):
            if has_word(answer) and answer["systemIdentifier"] != own["systemIdentifier"]:
                raise Refused("%s holds another database (system identifier %s)" % (name, answer["systemIdentifier"]))
        ahead = sorted(name for name, answer in answers.items() if answer.get("timeline", 0) > own["timeline"])
        waited = time.monotonic() - began
        if not ahead and (all(has_word(answer) for answer in answers.values()) or waited > BOOT_SILENCE_SECONDS):
            return None, None
        facts = {name: ask_peer(member, name, {"ask": "source"}, 10) for name in ahead}
        primaries = {name: found for name, found in facts.items() if found.get("primary") == 1}
        if len(primaries) > 1:
            raise Refused("%s are primaries both" % " and ".join(sorted(primaries)))
        reason = "%s was promoted, and is no primary that answers" % " or ".join(ahead)
        for name, found in primaries.items():
            if not found["reason"]:
                return name, found
            reason = "%s: %s" % (name, found["reason"])
        if ahead and waited > SEARCH_SECONDS:
            raise Refused(reason)
        time.sleep(SEARCH_RETRY_SECONDS)


@contextlib.contextmanager
def held_here(member, epoch):
    """As an orchestrator holds the cluster, on this host alone: none begins anything here meanwhile."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    holder = "%s, which comes back by itself" % member["member"]
    order, over = {"path": member["lock"], "epoch": epoch, "since": since}, threading.Event()
    if change_lock(order, holder, False) is not None:
        raise Refused("somebody else was quicker to hold it")

    def renew():
        while not over.wait(5) and change_lock(order, holder, True) is None:
            pass

    renewal = threading.Thread(target=renew, daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()
        change_lock(order, "", True)


def follow_promoted(member, epoch, name, source, began):
    own = own_wal(member)
    reason, rewind_from = way_back(own, source, name)
    if reason is not None:
        raise Refused(reason)
    done, told = "follows %s without a rewind" % name, ""
    if rewind_from is None:
        told = cut_partial_record(member, epoch, own, source)
        if not while_held({"lock": member["lock"], "epoch": epoch}, lambda: mark_standby(member)):
            raise Refused("its hold was lost")
    else:
        told = rewind_to(member, epoch, name, own, rewind_from)
        done = "was rewound to %s and follows %s" % (rewind_from, name)
    start_unit(member["unit"])
    if not streams_again(member):
        raise Refused("it was made a standby of %s%s, and does not stream within %d s" % (name, told, STREAM_SECONDS))
    return "%s was primary, %s, %.1f s after it began%s" % (member["member"], done, time.monotonic() - began, told)


def own_wal(member):
    """Everything of this host that the way back depends on."""
    at_boot, directory = member["atBoot"], member["dataDirectory"]
    control = control_fields(member["programs"], directory)
    lsn, reason = resting_position(member, control)
    if not lsn:
        raise Refused(reason)
    files = wal_files(directory)
    timeline, size = max(int(name[:8], 16) for name in files), int(control["Bytes per WAL segment"])
    return {
        "timeline": timeline,
        "past": past_timelines(os.path.join(directory, "pg_wal"), timeline),
        "lsn": lsn,
        "oldest": min(name[8:] for name in files),
        "redo": control["Latest checkpoint's REDO location"],
        "segmentBytes": size,
        "partialTo": partial_record_to(directory, timeline, lsn_value(lsn), size),
        "canBeRewound": control.get("Data page checksum version", "0") != "0" or control.get("wal_log_hints setting") == "on",
        "keptBytes": free_bytes(at_boot["kept"]),
        "postgresVersion": at_boot["postgresVersion"],
        "restores": at_boot["restores"],
    }


def way_back(own, source, name):
    """Why a former primary does not come back by itself to the one that was promoted after it; and from where it has to be
    rewound: None where all it has is the other one's too. The rules of `pulumi up`, of which a clone is not done here."""
    size = own["segmentBytes"]
    end, segment = lsn_value(own["lsn"]), lambda lsn: lsn // size
    mine, theirs = ([(number, lsn_value(lsn)) for number, lsn in past] for past in (own["past"], source["past"]))
    before = [index for index, (number, _) in enumerate(theirs) if number == own["timeline"]]
    if not before or theirs[: before[0]] != mine[len(mine) - before[0] :] or (mine and not before[0]):
        return "its timelines have nothing in common with those of %s" % name, None
    fork_text, fork = source["past"][before[0]][1], theirs[before[0]][1]
    oldest = segment_number(source["oldest"], size)
    if end <= fork:
        if oldest <= segment(end) or own["restores"]:
            return None, None
        return "%s no longer has the WAL that it needs, from %s on" % (name, own["lsn"]), None
    if not own["canBeRewound"]:
        return "neither data checksums nor wal_log_hints are on, which a rewind needs", None
    if segment_number(own["oldest"], size) > segment(fork):
        return "its own WAL at %s is gone, which a rewind needs" % fork_text, None
    # Up to version 16 pg_rewind removes what WAL the source does not have; the member starts from the last common checkpoint.
    common = min(lsn_value(own["redo"]), fork)
    needed = common if own["postgresVersion"] < 17 else fork
    if oldest > segment(needed):
        return "%s no longer has the WAL that it needs, from %s on" % (name, lsn_text(needed)), None
    if own["keptBytes"] <= (segment(end) - segment(fork) + 1) * size:
        return "there is no room in /var/lib/pgha to keep aside the WAL that it wrote alone", None
    if end - common > QUICK_REWIND_BYTES:
        return "a rewind may take long: it wrote %d MB since the last common checkpoint" % ((end - common) >> 20), None
    return None, fork_text


def cut_partial_record(member, epoch, own, source):
    """Where the promoted one left within a record that was not finished here, as `pulumi up` does. Returns what is to be told
    of it."""
    timeline, to = own["timeline"], own["partialTo"]
    if to is None or lsn_value(dict(source["past"])[timeline]) != lsn_value(own["lsn"]):
        return ""
    told = []
    record = {**own, "to": lsn_text(to)}
    if not while_held({"lock": member["lock"], "epoch": epoch}, lambda: told.append(cut_record(member, record))):
        raise Refused("its hold was lost")
    return "; " + told[0]


def rewind_to(member, epoch, name, own, fork):
    """Keeps its own WAL aside first, as `pulumi up` does. Returns what is to be told of it."""
    at_boot, timeline = member["atBoot"], own["timeline"]
    arguments = {**member, **at_boot, "epoch": epoch, "limitSeconds": REWIND_SECONDS}
    first = wal_name(timeline, lsn_value(fork), own["segmentBytes"])
    pieces = ["%d %s %s" % (timeline, fork, own["lsn"])]
    count = count_commits({**arguments, "firstFile": first, "pieces": pieces})
    commits = "transactions" if count is None else "%d transactions" % count
    told = "%s of its own, WAL from %s to %s (timeline %d)" % (commits, fork, own["lsn"], timeline)
    told = "; %s, are kept in %s" % (told, keep_pieces(member, own, (fork, own["lsn"]), told, "the member was rewound"))
    # pg_rewind reads the source's pg_control, which names the new timeline only after a checkpoint.
    if ask_peer(member, name, {"ask": "checkpoint"}, CHECKPOINT_SECONDS).get("answer") != "checkpoint":
        raise Refused("%s did not complete a checkpoint within %d s%s" % (name, CHECKPOINT_SECONDS, told))
    address = next(peer["address"] for peer in member["peers"] if peer["member"] == name)
    words = (address, member["port"], at_boot["login"])
    result = rewound({**arguments, "source": "host=%s port=%d dbname=postgres %s" % words})
    if result["result"] != "rewound":
        raise Refused("pg_rewind: %s: %s%s" % (result["result"], result["reason"], told))
    return told


def streams_again(member):
    """Once its PostgreSQL answers its slots begin anew: what they hold is of its time as primary."""
    deadline, reset = time.monotonic() + STREAM_SECONDS, False
    while time.monotonic() < deadline:
        sql = Sql(member)
        try:
            reset = reset or all(sql.ask(statement, 5) for statement in slot_statements(member))
            if reset and sql.ask("select count(*) from pg_stat_wal_receiver where status = 'streaming'", 2) == "1":
                return True
        finally:
            sql.close()
        time.sleep(0.2)
    return False


def slot_statements(member):
    """Each answers with one line. The logical ones of its time as primary go, as in cluster/roles.ts."""
    own = "not synced" if member["atBoot"]["postgresVersion"] >= 17 else "true"
    names = ",".join("pgha_" + peer["member"].replace("-", "_") for peer in member["peers"])
    yield (
        "select count(pg_drop_replication_slot(slot_name)) from pg_replication_slots where pg_is_in_recovery() and not active"
        " and not temporary and (slot_type = 'logical' and %s"
        " or slot_type = 'physical' and slot_name like 'pgha\\_%%' and restart_lsn is not null)" % own
    )
    yield (
        "select count(pg_create_physical_replication_slot(name)) from unnest('{%s}'::text[]) as name"
        " where name not in (select slot_name from pg_replication_slots)" % names
    )


def source_facts(member):
    """What one asks who comes back: whether this member is the primary, and what a rewind needs of it."""
    found = {"answer": "source", "primary": 0, "lockEpoch": read_lock(member["lock"])["epoch"]}
    sql = Sql(member)
    try:
        in_recovery, _, position = (sql.ask(PRIMARY_POSITION, 4) or "").partition("|")
    finally:
        sql.close()
    if in_recovery != "f":
        return found
    timeline, _, lsn = position.partition(" ")
    directory = member["dataDirectory"]
    return {
        **found,
        "primary": 1,
        "reason": busy(member) or unconfirmed(member) or "",
        "timeline": int(timeline, 16),
        "lsn": lsn,
        "oldest": min(name[8:] for name in wal_files(directory)),
        # So many have room in a line; who comes back was primary of late.
        "past": past_timelines(os.path.join(directory, "pg_wal"), int(timeline, 16))[-100:],
    }


PRIMARY_POSITION = """select pg_is_in_recovery(), case when not pg_is_in_recovery()
 then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || ' ' || pg_current_wal_lsn() end""".replace("\n", "")


def unconfirmed(member):
    """Why Pacemaker's word does not say that this primary is the one."""
    counts, reason = managers_word(member)
    return reason or (None if counts else "Pacemaker does not say that it is the primary")


def complete_checkpoint(member):
    sql = Sql(member)
    try:
        sql.send("checkpoint")
        done = sql.ask("select 1", CHECKPOINT_SECONDS)
    finally:
        sql.close()
    return {"answer": "checkpoint" if done else "no checkpoint"}


ANSWERS.update({"source": source_facts, "checkpoint": complete_checkpoint})
