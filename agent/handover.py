# --- handover: the steps of the outage, run from host to host by transient units that no SSH session owns

PROMOTION_SECONDS = 60
SILENCE_SECONDS = 8  # longer than a ticket lives
LAGGARD_SECONDS = 3
HANG_SECONDS = 60  # beyond stopSeconds: a stop that hangs is ended meanwhile
RETRY_SECONDS = 1


def journal_epoch(member):
    return read_record(member["journal"]).get("epoch", 0)


def is_armed(member, epoch):
    return is_held(member["lock"], epoch) and journal_epoch(member) == epoch


def arm(member, epoch, state, write):
    """Refused: the reason. The record of this epoch is there before anybody hears that we are ready."""
    with guarded(member["lock"]):
        if not is_armed(member, epoch):
            return "the lock or the journal of epoch %d is not here" % epoch
        if state["epoch"] >= epoch:
            return "epoch %d is over: found %s of epoch %d" % (epoch, state["state"], state["epoch"])
        write()
    return None


def announce(event, **fields):
    say(event=event, **fields)


# The old primary's side.


def give(arguments):
    """Stops the primary at the word `go`, sends the ticket, and then follows or comes back, whatever becomes of the one
    who said so. Until that word, the end of whoever listens, of the lock or of the channel leaves the primary alone."""
    member, epoch = read_member(arguments["member"]), arguments["epoch"]
    if resume(member, arguments):
        return
    listeners = Listeners(socket_path(member, "give", epoch))
    channel = Channel(member, arguments["to"])
    try:
        if not wait_for_go(member, arguments, listeners, channel):
            return
        outage(member, arguments, listeners, channel)
    finally:
        channel.close()
        listeners.close()


def resume(member, arguments):
    """This process died in the middle of it, and was started again."""
    epoch, done = arguments["epoch"], read_switch(member)
    if done["epoch"] != epoch or done["state"] == "armed":
        return False
    if done["state"] == "stopping":
        with guarded(member["lock"]):
            if is_unsettled(member, epoch):  # it may have died before it gave the order
                mark_standby(member)
                stop_unit(member["unit"])
        settle(member, arguments, announce)
        return True
    with guarded(member["lock"]):
        if journal_epoch(member) == epoch and unit_state(member["unit"])[0] in ("inactive", "failed"):
            start_unit(member["unit"])
    return True


def wait_for_go(member, arguments, listeners, channel):
    epoch = arguments["epoch"]
    channel.send({"ask": "ticket of", "epoch": epoch})
    answer = channel.answer(10)
    if not answer or answer.get("event") != "armed":
        found = (answer or {}).get("reason") or channel.close() or "no answer"
        return refuse(listeners, "%s does not wait for the ticket: %s" % (arguments["to"], found))
    switch = read_switch(member)
    if switch["epoch"] < epoch or switch["state"] != "armed":
        refused = arm(member, epoch, switch, lambda: write_switch(member, epoch, "armed"))
    else:
        refused = None  # it died while it was armed, and was started again
    if refused is not None:
        return refuse(listeners, refused)
    listeners.tell(event="armed")
    while True:
        for _, line in listeners.lines(RETRY_SECONDS, channel):
            if line == b"go":
                return True
            if line is None:
                return False
        if channel_ended(channel):
            return refuse(listeners, "%s does not wait for the ticket any more" % arguments["to"])
        if not is_armed(member, epoch):
            return refuse(listeners, "the lock of epoch %d is not held any more" % epoch)


def refuse(listeners, reason):
    listeners.tell(event="refused", reason=reason)
    linger(listeners)
    return False


def channel_ended(channel):
    readable, _, _ = select.select([channel], [], [], 0)
    return bool(readable) and channel.answer(0) is None


def outage(member, arguments, listeners, channel):
    epoch = arguments["epoch"]
    control = open_control(member["dataDirectory"])
    began = time.monotonic()

    def tell(event, **fields):
        listeners.tell(event=event, milliseconds=round((time.monotonic() - began) * 1000, 1), **fields)

    def come_back(reason):
        tell("refused", reason=reason)
        if restore(member, epoch, arguments["stopSeconds"] + HANG_SECONDS):
            tell("restored")

    with guarded(member["lock"]):
        if not is_armed(member, epoch) or not switch_is(member, epoch, "armed"):
            tell("refused", reason="the lock of epoch %d is not held any more" % epoch)
            tell("restored")  # nothing was done
            return
        write_switch(member, epoch, "stopping")
        mark_standby(member)
        began = time.monotonic()
        stopping = subprocess.Popen(["systemctl", "stop", "--no-block", member["unit"]])
    found = wait_for_shut_down(member, arguments, control, began)
    stopping.wait(10)
    if isinstance(found, str):
        come_back(found)
    else:
        checkpoint, timeline, identifier = found
        end = checkpoint_end(checkpoint, arguments["segmentBytes"])
        channel.send(
            {"ask": "ticket", "epoch": epoch, "end": end, "timeline": timeline, "systemIdentifier": identifier},
        )
        tell("shut down", checkpointLsn=lsn_text(checkpoint))
        outcome = hear_outcome(member, arguments, listeners, channel, tell)
        if outcome.startswith("refused"):
            come_back(outcome[len("refused: ") :])
        elif outcome == "unknown":
            tell("silent", reason="%s does not answer" % arguments["to"])
    settle(member, arguments, tell)  # also where PostgreSQL would not stop


def wait_for_shut_down(member, arguments, control, began):
    """Checkpoint, timeline and system identifier, as numbers; or why not."""
    laggards_at = began + LAGGARD_SECONDS
    while time.monotonic() - began < arguments["stopSeconds"]:
        identifier, state, checkpoint, timeline = read_control(control)
        if state == SHUT_DOWN:
            if timeline == arguments["timeline"] and str(identifier) == arguments["systemIdentifier"]:
                return checkpoint, timeline, str(identifier)
            return "it stopped on timeline %d of system %d, expected %d of %s" % (
                timeline,
                identifier,
                arguments["timeline"],
                arguments["systemIdentifier"],
            )
        if time.monotonic() > laggards_at:
            end_laggards(member, arguments["toAddress"])
            laggards_at += LAGGARD_SECONDS
        time.sleep(0.0005)
    return "the primary did not shut down within %s s" % arguments["stopSeconds"]


def hear_outcome(member, arguments, listeners, channel, tell):
    """Passes on what the target tells. This member follows as soon as it does not disturb, or is needed."""
    follower = None
    follow_at = None
    heard = time.monotonic()
    consumed = False
    while True:
        answer = channel.answer(0.05)
        now = time.monotonic()
        event = (answer or {}).get("event")
        if event is not None:
            heard = now
        if event == "refused" and not consumed:
            return "refused: " + answer.get("reason", "")
        if event in ("proved", "promoted", "acknowledged"):
            tell(event)
        if event == "consumed":
            consumed = True
            follow_at = now if arguments["neededAtOnce"] else now + 1
        if event in ("acknowledged", "failed") or (answer is None and consumed):
            follow_at = now
        if answer is None and not consumed or (not consumed and now - heard > SILENCE_SECONDS):
            return "unknown"
        if follower is None and follow_at is not None and now >= follow_at:
            follower = threading.Thread(target=follow, args=(member, arguments, tell))
            follower.start()
        if follower is not None and (answer is None or event in ("acknowledged", "failed")):
            follower.join()
            return "consumed"


def settle(member, arguments, tell):
    """The ticket may have been sent, and nobody says what became of it: it is taken away, or it was consumed. Until that is
    known this member stays down: two primaries would be worse than none."""
    epoch = arguments["epoch"]
    told = None
    while is_unsettled(member, epoch):
        answer = ask_peer(member, arguments["to"], revocation(epoch, arguments["timeline"]), 5)
        outcome = answer.get("answer")
        if outcome == "revoked":
            if restore(member, epoch, arguments["stopSeconds"] + HANG_SECONDS):
                tell("restored")
        elif outcome in ("consumed", "promoted", "overtaken"):
            follow(member, arguments, tell)
        else:
            reason = "%s: %s" % (arguments["to"], answer.get("unreachable", outcome))
            if reason != told:
                print("waits: whether the ticket was used is not known, and %s" % reason, file=sys.stderr, flush=True)
                told = reason
            time.sleep(RETRY_SECONDS)


def is_unsettled(member, epoch):
    return journal_epoch(member) == epoch and switch_is(member, epoch, "stopping")


def revocation(epoch, timeline):
    return {"ask": "revoke", "epoch": epoch, "timeline": timeline}


def follow(member, arguments, tell):
    """As a standby of whoever is writable: always safe, for standby.signal is there."""
    if not wait_until_stopped(member, 120, patience_seconds=LAGGARD_SECONDS):
        return
    with guarded(member["lock"]):
        if not is_unsettled(member, arguments["epoch"]):
            return
        lay_role(member, arguments["role"])
        write_switch(member, arguments["epoch"], "followed")
        start_unit(member["unit"])
    tell("follows")


def restore(member, epoch, limit_seconds, lock_epoch=None):
    """The old primary comes back. Only called once nobody was or will be promoted by a ticket of this epoch; and whoever
    has taken the cluster over meanwhile decides instead, as long as he lives. `lock_epoch`: who may be at work, by default
    the handover's own orchestrator."""
    lock_epoch = epoch if lock_epoch is None else lock_epoch

    def permitted():
        undisturbed = is_held(member["lock"], lock_epoch) or not lock_state(member["lock"])["alive"]
        return undisturbed and is_unsettled(member, epoch)

    while is_unsettled(member, epoch):
        with guarded(member["lock"]):
            may_stop = permitted()
            if may_stop:
                stop_unit(member["unit"])
        if may_stop:
            if not wait_until_stopped(member, limit_seconds):
                return False
            with guarded(member["lock"]):
                if permitted():
                    start_as_primary(member, epoch)
                    return True
        time.sleep(RETRY_SECONDS)
    return False


def start_as_primary(member, epoch):
    """Under the guard, and with the right proved."""
    unmark_standby(member)
    write_switch(member, epoch, "restored")
    write_pass(member)
    start_unit(member["unit"])


# The target's side.


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
        refused = arm(member, epoch, ticket, lambda: write_ticket(member, epoch, "armed", timeline))
        if refused is None and sql.ask("select pg_is_in_recovery()", 10) != "t":
            refused = "it is not a standby that answers"
        if refused is None and probe.ask("select 1", 10) != "1":
            refused = "it does not answer"
        if refused is not None:
            refuse(listeners, refused)
            return
        listeners.tell(event="armed")
        wait_for_ticket(member, arguments, listeners, sql, probe)
    finally:
        revoke(member, epoch, arguments["timeline"])
        listeners.close()
        sql.close()
        probe.close()


def wait_for_ticket(member, arguments, listeners, sql, probe):
    epoch = arguments["epoch"]
    while True:
        for _, line in listeners.lines(RETRY_SECONDS):
            request = parse_line(line) if line else {}
            if request.get("ask") == "ticket" and request.get("epoch") == epoch:
                use_ticket(member, arguments, request, listeners, sql, probe)
                return
        if not is_armed(member, epoch) or read_ticket(member)["state"] != "armed":
            return


def use_ticket(member, arguments, ticket, listeners, sql, probe):
    received, epoch = boot_clock(), arguments["epoch"]
    refused = prove(arguments, ticket, sql)
    if refused is None:
        listeners.tell(event="proved")
        with guarded(member["lock"]):
            lock = lock_state(member["lock"])
            if may_consume(read_ticket(member), lock, epoch, boot_id(), boot_clock() - received):
                write_ticket(member, epoch, "consumed", arguments["timeline"])
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
    if not wait_until_in_production(member, PROMOTION_SECONDS):
        listeners.tell(event="failed", reason="it did not leave recovery within %s s of its promotion" % PROMOTION_SECONDS)
        complete_promotion(member)
        return
    listeners.tell(event="promoted")
    probe.send("select pg_logical_emit_message(true, 'pgha', 'switchover')")  # it needs no table
    record_promotion(member)
    if probe.answer(arguments["acknowledgeSeconds"]) is None:
        listeners.tell(event="failed", reason="no commit was acknowledged within %s s" % arguments["acknowledgeSeconds"])
    else:
        listeners.tell(event="acknowledged")
    linger(listeners)


def linger(listeners):
    """Until everybody has heard the last word: whoever started this connects at once, or has gone."""
    deadline = time.monotonic() + 10
    while (listeners.clients or not listeners.met) and time.monotonic() < deadline:
        listeners.lines(0.5)


PROOF_SECONDS = 3


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


def lsn_value(text):
    high, slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16) if slash else -1


def record_promotion(member):
    with guarded(member["lock"]):
        ticket = read_ticket(member)
        write_pass(member)
        if ticket["state"] == "consumed":
            write_ticket(member, ticket["epoch"], "promoted", ticket["timeline"])


def complete_promotion(member):
    """Consumed means only forward: what was begun before this process, or this host, died. Not one that other handovers
    have left behind."""
    while True:
        ticket = read_ticket(member)
        if ticket["state"] != "consumed" or journal_epoch(member) != ticket["epoch"]:
            return
        own = control_data(member["programs"], member["dataDirectory"])
        if not is_marked_standby(member) and wait_until_in_production(member, 5):
            record_promotion(member)
            return
        if own is not None and own["timeline"] > ticket["timeline"] and is_marked_standby(member):
            return
        promote(member)
        wait_until_in_production(member, 5)


# Everybody's side.


def guard(arguments):
    """Where the role was changed for the time of a handover: back to the steady state when its orchestrator is gone."""
    member, epoch = read_member(arguments["member"]), arguments["epoch"]
    while is_held(member["lock"], epoch):
        time.sleep(RETRY_SECONDS)
    with guarded(member["lock"]):
        if lock_state(member["lock"])["epoch"] == epoch:
            lay_role(member, arguments["role"])


def back(arguments):
    """An orchestrator that holds the cluster, and has taken the ticket away, lets the old primary come back; the rest is
    done here even if he dies."""
    member, journal = read_member(arguments["member"]), arguments["journal"]
    listeners = Listeners(socket_path(member, "back", arguments["epoch"]))
    listeners.tell(event="armed")
    listeners.lines(2)  # whoever ordered it connects, and hears so, before the work begins
    epoch = arguments["epoch"]
    if take_over(member, journal, epoch) and restore(member, journal, arguments["limitSeconds"], epoch):
        listeners.tell(event="restored")
    elif journal_epoch(member) == journal and switch_is(member, journal, "restored"):
        start_unit(member["unit"])
        listeners.tell(event="restored")
    else:
        listeners.tell(event="refused", reason="it did not stop in time, or the cluster was taken over")
    linger(listeners)
    listeners.close()


def take_over(member, journal, epoch):
    """From `give`, and only under the living lock of this epoch; but what was begun under it goes on when this process has
    died, and its orchestrator as well."""
    with guarded(member["lock"]):
        switch = read_switch(member)
        if switch["epoch"] == journal and switch.get("under") == epoch:
            return True
        if switch["epoch"] > journal or not is_held(member["lock"], epoch):
            return False
        stop_give(member, journal)
        if not switch_is(member, journal, "restored"):
            write_switch(member, journal, "stopping", under=epoch)
        return True


def give_way(arguments):
    """An orchestrator that holds the cluster says that the target is primary for good: this member will follow. Its unit,
    which may still be asking the target, must not go on beside him."""
    member, journal = read_member(arguments["member"]), arguments["journal"]

    def followed():
        stop_give(member, journal)
        mark_standby(member)
        if read_switch(member)["epoch"] == journal:
            write_switch(member, journal, "followed")

    if while_held(arguments, followed):
        say(result="follows")


def stop_give(member, epoch):
    run(["systemctl", "stop", "%s-give-%d.service" % (member["unit"][: -len(".service")], epoch)], 20)


def drive(arguments):
    """Starts one of the units above on this host; then standard input and output speak with it."""
    member, role, epoch = read_member(arguments["member"]), arguments["role"], arguments["epoch"]
    name = "%s-%s-%d" % (member["unit"][: -len(".service")], role, epoch)
    command = ["systemd-run", "--quiet", "--collect", "--unit=" + name, "--property=Restart=on-failure"]
    command += ["--property=RestartSec=200ms", "--property=StartLimitIntervalSec=0"]
    command += ["/usr/bin/python3", "-u", PROGRAM, role, to_json(arguments["arguments"])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    if done.returncode != 0:
        say(event="refused", reason="%s did not start: %s" % (name, done.stdout.decode("utf-8", "replace").strip()))
        return
    if role == "guard":
        say(event="armed")
        return
    path, deadline = socket_path(member, role, epoch), time.monotonic() + 15
    while True:
        try:
            connection = connect_unix(path)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                say(event="refused", reason="%s does not listen at %s (%s)" % (name, path, error.strerror))
                return
            time.sleep(0.01)
    relay(connection)
