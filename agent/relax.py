# --- relax: commits go on without standbys once that was declared (synchronous.onLoss), and no other member is promoted then.
# The order is everything: Pacemaker's configuration says so on every node that counts before the first commit is acknowledged
# by the primary alone, and says so until enough standbys have every row again.

LOOK_SECONDS = 1
CATCH_UP_SECONDS = 30
WAITED = "commits wait for a standby, and go on waiting: "
CATCH_UP_BYTES = 16 * 1024**2
RELAXED_TEXT = "# Laid by pgha's host helper while no standby streams. It takes this away itself.\nsynchronous_standby_names = ''\n"


def keep_synchronous(path):
    """The unit of a primary whose commits may go on without standbys; on a standby it only takes care that nothing of it is
    left. What it has done can be read on the disk and in Pacemaker's configuration, so it may be killed at any moment."""
    lost, told, is_open = None, None, True
    while True:
        member = read_member(path)
        if "relax" not in member:  # its description comes after this unit, and goes after it
            time.sleep(LOOK_SECONDS)
            continue
        seen = synchronous_state(member)
        if seen is None or seen["standby"] or seen["enough"] or busy(member) is not None:
            lost = None
        elif lost is None:
            lost = time.monotonic()
        record = "unread"
        if seen is not None and not seen["standby"] and (is_open or lost is not None or is_relaxed(member)):
            record = record_seen(member)
        step = relax_step(
            {
                "answers": seen is not None,
                "standby": seen is not None and seen["standby"],
                "enough": seen is not None and seen["enough"],
                "held": busy(member) is not None,
                "seconds": time.monotonic() - lost if lost is not None else 0,
                "after": member["relax"]["afterSeconds"],
                "relaxed": is_relaxed(member),
                "record": record,
            }
        )
        reason = STEPS[step](member)
        if step in ("relax", "tighten") and reason is None:
            lost = None
        # What was begun, perhaps by one that was killed, is looked at until nothing is left of it.
        is_open = step in ("relax", "tighten") or (is_open if record == "unread" else record != "none")
        if reason is not None and reason != told:
            report(4, "%s: %s" % (member["member"], reason))
        told = reason
        time.sleep(LOOK_SECONDS)


def relax_step(facts):
    """What is to be done. `record`: whom Pacemaker's configuration names as the only one to be promoted: mine, other, none,
    unknown where it cannot be read, unread where there was no need to."""
    if not facts["answers"]:
        return "nothing"
    if facts["standby"]:
        return "forget" if facts["relaxed"] else "nothing"
    if facts["relaxed"] and facts["record"] in ("other", "none"):
        return "forget"
    if facts["held"]:
        return "nothing"
    if facts["enough"]:
        return "tighten" if facts["relaxed"] or facts["record"] in ("mine", "other") else "nothing"
    if facts["relaxed"] or facts["seconds"] < facts["after"]:
        return "nothing"
    return "relax" if facts["record"] in ("mine", "none") else "wait"


def is_relaxed(member):
    return os.path.exists(member["relax"]["file"])


def synchronous_state(member):
    """Of PostgreSQL itself; None where it does not answer."""
    names = ",".join(name for name in member["candidates"] if name != member["member"])
    line = asked_once(
        member,
        "select pg_is_in_recovery(), current_setting('synchronous_standby_names') = '', (select count(*) from pg_stat_replication"
        " where state = 'streaming' and application_name = any('{%s}') and not pg_is_in_recovery()"
        " and pg_wal_lsn_diff(sent_lsn, flush_lsn) < %d)" % (names, CATCH_UP_BYTES),
    )
    words = (line or "").split("|")
    if len(words) != 3:
        return None
    return {"standby": words[0] == "t", "alone": words[1] == "t", "enough": int(words[2]) >= member["synchronous"]["k"]}


def asked_once(member, statement, seconds=4):
    """In a session of its own: it has the settings that hold now."""
    sql = Sql(member)
    try:
        return sql.ask(statement, seconds)
    finally:
        sql.close()


def relax(member):
    """None once commits go on alone, or why they do not."""
    reason = obstacle(member) or busy(member)
    if reason is not None:
        return WAITED + reason
    is_new = record_seen(member) == "none"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    run(["crm_attribute", *record_words(member), "--update", now], 20)
    if record_seen(member) != "mine":
        return WAITED + "Pacemaker does not take down that nobody else may be promoted"
    reason = unheard(member) or obstacle(member)
    if reason is not None:
        return WAITED + reason
    with guarded(member["lock"]):
        seen = synchronous_state(member)
        if busy(member) is not None or seen is None or seen["standby"] or seen["enough"]:
            if is_new:  # no commit went on alone
                run(["crm_attribute", *record_words(member), "--delete"], 20)
            return None
        write_durably(member["relax"]["file"], RELAXED_TEXT, os.stat(member["roleConf"]))
        reload_member(member)
    seen = wait_for_setting(member, "t")
    text = "%s goes on without standbys after %s s: commits are acknowledged by it alone, and nobody else is promoted until a standby is back"
    if seen:
        report(4, text % (member["member"], member["relax"]["afterSeconds"]))
    return None if seen else "PostgreSQL did not take over the setting by which commits go on"


def wait(member):
    nodes = recorded_nodes(member)
    return WAITED + (alone_text(member, nodes[0]) if nodes else "Pacemaker's configuration cannot be read")


def tighten(member):
    """First commits wait again; then, once enough standbys have everything that was acknowledged until then, the others may be
    promoted again. The record of another member, in whose place somebody promoted this one by hand, ends with that too."""
    others = [node for node in recorded_nodes(member) or [] if node != member["node"]]
    reason = obstacle(member) if others else None
    if reason is not None:
        return "%s is recorded as the one that went on without standbys, and this member is the primary: %s" % (others[0], reason)
    forget_relaxed(member)
    if not commits_wait(member, CHECKPOINT_SECONDS):
        return "PostgreSQL did not take over the setting by which commits wait again, with a checkpoint, within %d s" % CHECKPOINT_SECONDS
    end = asked_once(member, "select pg_current_wal_insert_lsn()")
    deadline = time.monotonic() + CATCH_UP_SECONDS
    names = ",".join(name for name in member["candidates"] if name != member["member"])
    statement = (
        "select count(*) from pg_stat_replication where state = 'streaming' and application_name = any('{%s}')"
        " and flush_lsn >= '%s' and sync_state <> 'async'" % (names, end)
    )
    while end is None or int(asked_once(member, statement) or 0) < member["synchronous"]["k"]:
        if end is None or time.monotonic() > deadline:
            return "standbys stream again, and do not have everything yet"
        time.sleep(0.2)
    for node in recorded_nodes(member) or []:
        run(["crm_attribute", *record_words(member, node), "--delete"], 20)
    if record_seen(member) != "none":
        return "standbys have everything again, and Pacemaker does not take down that they may be promoted"
    report(6, "%s: commits wait for standbys again, which have everything up to %s" % (member["member"], end))
    return None


def commits_wait(member, seconds):
    """True once every commit waits for standbys: a checkpoint that begins after the setting is there is made by the process
    that lets them wait, which has read it then."""
    deadline = time.monotonic() + seconds
    if not wait_for_setting(member, "f"):
        return False
    return asked_after(member, "checkpoint", "select 1", max(1, deadline - time.monotonic())) is not None


def asked_after(member, first, statement, seconds):
    sql = Sql(member)
    try:
        sql.send(first)
        return sql.ask(statement, seconds)
    finally:
        sql.close()


def wait_for_setting(member, alone):
    deadline = time.monotonic() + 10
    while asked_once(member, "select current_setting('synchronous_standby_names') = ''") != alone:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def obstacle(member):
    """Why Pacemaker's word of this moment would not bind whoever might promote another member; None where it would."""
    counts, reason = managers_word(member)
    if reason is not None or not counts:
        return reason or "Pacemaker has no quorum on this host, or does not manage this cluster"
    code, text = crm_mon()
    if code != 0:
        return "Pacemaker on this host does not answer"
    return fate_unknown(text)


def fate_unknown(text):
    """A host that is neither a part of this cluster now nor known to be off may be deciding by itself."""
    names = sorted(name for name, found in nodes_seen(text).items() if found.get("unclean") == "true")
    return "what became of %s is not known: it is to be fenced first" % " and ".join(names) if names else None


def unheard(member):
    """Every host that is in Corosync's membership has it in its own copy: whoever has quorum later has one of them in it."""
    try:
        code, text = run(["corosync-quorumtool", "-l", "-p"], 5)
    except (OSError, subprocess.TimeoutExpired):
        code, text = 1, ""
    present = members_present(text)
    if member["node"] not in present:
        return "Corosync does not say who is there"
    for node in present:
        if node == member["node"]:
            continue
        names = [peer["member"] for peer in member["peers"] if node_of(peer) == node]
        answer = ask_peer(member, names[0], {"ask": "relaxed"}, 8) if names else {}
        if member["node"] not in answer.get("nodes", []):
            return "%s does not confirm that nobody else may be promoted (%s)" % (node, answer.get("unreachable", "not recorded"))
    return None


def members_present(text):
    """Names of the nodes, by corosync-quorumtool's list."""
    return re.findall(r"^\s*\d+\s+\d+(?:\s+\S+)?\s+([A-Za-z][\w.-]*)(?:\s+\(local\))?\s*$", text, re.MULTILINE)


STEPS = {"nothing": lambda member: None, "forget": forget_relaxed, "relax": relax, "wait": wait, "tighten": tighten}
