# --- take: the target's side of the outage

PROMOTION_SECONDS = 60
PROOF_SECONDS = 3
FIRST_COMMIT = "select pg_logical_emit_message(true, 'pgha', 'switchover')"  # it needs no table


def take(arguments):
    """Waits for the ticket; promotes this member with it, and never without. Ends by itself with the lock of its epoch."""
    member, epoch = read_member(arguments["member"]), arguments["epoch"]
    ticket = read_ticket(member)
    if ticket["epoch"] == epoch and ticket["state"] == "consumed":
        complete_promotion(member)  # this process died in the middle of it, and was started again
        return
    listeners = Listeners(socket_path(member, "take", epoch))
    sql, probe = Sql(member), Sql(member)
    try:
        timeline = arguments["timeline"]
        refused = cannot_take(arguments.get("addresses", []))
        if refused is None:
            refused = arm(member, epoch, ticket, lambda: write_ticket(member, epoch, "armed", timeline))
        if refused is None and sql.ask("select pg_is_in_recovery()", 10) != "t":
            refused = "it is not a standby that answers"
        if refused is None and not probe.connects(10):
            refused = "it does not answer"
        if refused is not None:
            refuse(listeners, refused)
            return
        leave_addresses(member, [])  # what an earlier handover left
        if "relax" in member:
            forget_relaxed(member)
        listeners.tell(event="armed")
        wait_for_ticket(member, arguments, listeners, sql, probe)
    finally:
        revoke(member, epoch, arguments["timeline"])
        listeners.close()
        sql.close()
        probe.close()


def wait_for_ticket(member, arguments, listeners, sql, probe):
    """This host may stand still at any moment. What one turn hears was not there yet when the turn before it began to
    listen: a ticket is as old as that, at most. After a turn that took too long no ticket is waited for any more, for it
    may still be on its way inside this host."""
    epoch, turn = arguments["epoch"], boot_clock()
    while True:
        before, turn = turn, boot_clock()
        if turn - before >= TICKET_LIFE_SECONDS + RETRY_SECONDS:
            return
        for _, line in listeners.lines(RETRY_SECONDS):
            request = parse_line(line) if line else {}
            if request.get("ask") == "ticket" and request.get("epoch") == epoch:
                use_ticket(member, arguments, request, before, listeners, sql, probe)
                return
        if not is_armed(member, epoch) or read_ticket(member)["state"] != "armed":
            return


def use_ticket(member, arguments, ticket, since, listeners, sql, probe):
    epoch, in_time = arguments["epoch"], False
    refused = prove(arguments, ticket, sql)
    if refused is None:
        listeners.tell(event="proved")
        with guarded(member["lock"]):
            lock = lock_state(member["lock"])
            if may_consume(read_ticket(member), lock, epoch, boot_id(), boot_clock() - since):
                write_ticket(member, epoch, "consumed", arguments["timeline"])
                # The disk, or this whole host, may have stood still meanwhile.
                in_time = is_held(member["lock"], epoch) and boot_clock() - since < TICKET_LIFE_SECONDS
                if in_time:
                    promote(member)
            else:
                refused = "the ticket came too late, or another orchestrator took over"
    if refused is not None:
        # A refusal lets the old primary come back: the ticket is worth nothing from here on.
        outcome = revoke(member, epoch, arguments["timeline"])
        if outcome == "revoked":
            listeners.tell(event="refused", reason=refused)
        linger(listeners)
        return
    listeners.tell(event="consumed")
    if not in_time:
        reason = "the ticket was consumed too late: it is promoted once the old primary says that it did not come back"
        listeners.tell(event="failed", reason=reason)
        complete_promotion(member)
        return
    arrival = Arrival(member, arguments, listeners)
    arrival.begin()
    try:
        promoted = becomes_primary(member, arguments, listeners, probe)
    finally:
        arrival.end()
    if promoted:
        linger(listeners, arrival.hear)
    else:
        complete_promotion(member)


def becomes_primary(member, arguments, listeners, probe):
    """What follows the order to promote, up to the first commit. False when it does not leave recovery in time."""
    if not wait_until_in_production(member, PROMOTION_SECONDS):
        listeners.tell(event="failed", reason="it did not leave recovery within %s s of its promotion" % PROMOTION_SECONDS)
        return False
    listeners.tell(event="promoted")
    probe.send(FIRST_COMMIT)
    record_promotion(member)
    if acknowledged(probe, arguments["acknowledgeSeconds"]):
        listeners.tell(event="acknowledged")
    else:
        listeners.tell(event="failed", reason="no commit was acknowledged within %s s" % arguments["acknowledgeSeconds"])
    return True


def acknowledged(probe, seconds):
    """Whether enough standbys acknowledge a commit in time. The server may have started anew within its promotion, after its
    disk was full, say: then the commit is asked for again, in a session with the server that runs now."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe.answer(min(RETRY_SECONDS, max(0, deadline - time.monotonic())))
        if answer is not None or time.monotonic() >= deadline:
            return answer is not None
        if not probe.lives():
            probe.close()
            time.sleep(0.05)  # it may not take connections yet
            probe.open()
            if probe.connects(RETRY_SECONDS):
                probe.send(FIRST_COMMIT)


def prove(arguments, ticket, sql):
    """The flushed WAL here reaches the end, not only the start, of the old primary's shutdown checkpoint. Or: why not."""
    if ticket["timeline"] != arguments["timeline"] or ticket["systemIdentifier"] != arguments["systemIdentifier"]:
        return "the old primary stopped on timeline %s of system %s, expected %s of %s" % (
            ticket["timeline"],
            ticket["systemIdentifier"],
            arguments["timeline"],
            arguments["systemIdentifier"],
        )
    received = ""
    deadline = time.monotonic() + PROOF_SECONDS
    while time.monotonic() < deadline:
        answer = sql.ask("select pg_last_wal_receive_lsn()", PROOF_SECONDS)
        if answer is None:
            return "the target's PostgreSQL does not answer"
        received = answer or "nothing"
        if lsn_value(received) >= ticket["end"]:
            return None
    return "the target received WAL up to %s, but the old primary's shutdown checkpoint ends at %s" % (
        received,
        lsn_text(ticket["end"]),
    )


def record_promotion(member):
    with guarded(member["lock"]):
        ticket = read_ticket(member)
        write_pass(member)
        if ticket["state"] == "consumed":
            write_ticket(member, ticket["epoch"], "promoted", ticket["timeline"])


def complete_promotion(member):
    """Consumed means only forward: what was begun before this process, or this host, died or stood still. It may have been
    given up meanwhile, and the old primary brought back: so each try needs that one's word. Not one that other handovers
    have left behind."""
    told = None
    while True:
        ticket, journal = read_ticket(member), read_record(member["journal"])
        if ticket["state"] != "consumed" or journal.get("epoch") != ticket["epoch"]:
            return
        own = control_data(member["programs"], member["dataDirectory"])
        if not is_marked_standby(member) and wait_until_in_production(member, 5):
            record_promotion(member)
            return
        if own is not None and own["timeline"] > ticket["timeline"] and is_marked_standby(member):
            return
        reason = old_primarys_word(member, journal)
        if reason is None:
            promote(member)
            wait_until_in_production(member, 5)
            continue
        if reason != told:
            print("%s is not promoted yet: %s" % (member["member"], reason), file=sys.stderr, flush=True)
            told = reason
        time.sleep(GATE_RETRY_SECONDS)
