# --- give: the old primary's side of the outage

SILENCE_SECONDS = 8  # longer than a ticket lives
LAGGARD_SECONDS = 3
HANG_SECONDS = 60  # beyond stopSeconds: a stop that hangs is ended meanwhile


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
            renew_pass(member)
            start_unit(member["unit"])
    return True


def wait_for_go(member, arguments, listeners, channel):
    epoch = arguments["epoch"]
    channel.send({"ask": "ticket of", "epoch": epoch})
    answer = channel.answer(10)
    if not answer or answer.get("event") != "armed":
        found = (answer or {}).get("reason") or channel.close() or "no answer"
        return refuse(listeners, "%s does not wait for the ticket: %s" % (arguments["to"], found))
    refused = cannot_leave(member, arguments.get("addresses", []))
    if refused is not None:
        return refuse(listeners, refused)
    switch = read_switch(member)
    # Else it died while it was armed, and was started again.
    if switch["epoch"] < epoch or switch["state"] != "armed":
        refused = arm(member, epoch, switch, lambda: write_switch(member, epoch, "armed"))
    if refused is not None:
        return refuse(listeners, refused)
    answer_again(member)  # what an earlier handover left
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
    """Passes on what the target tells. This member follows as soon as it does not disturb, or is needed; its addresses have
    left by then."""
    departure = Departure(member, arguments, channel)
    follower = None
    follow_at = None
    decided = False
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
        if event in ("proved", "promoted", "addressed", "acknowledged"):
            tell(event)
        if event == "addressed" or answer is None:
            departure.taken.set()
        if event == "consumed" and not consumed:
            consumed = True
            departure.begin()
            follow_at = now if arguments["neededAtOnce"] else now + 1
        if event in ("acknowledged", "failed") or (answer is None and consumed):
            decided = True
            follow_at = now
        if answer is None and not consumed or (not consumed and now - heard > SILENCE_SECONDS):
            return "unknown"
        if follower is None and follow_at is not None and now >= follow_at:
            follower = threading.Thread(target=follow, args=(member, arguments, tell, departure.end))
            follower.start()
        if follower is not None and decided and departure.is_over():
            follower.join()
            return "consumed"
        if answer is None:
            time.sleep(0.01)  # one that has ended says so at once


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


def follow(member, arguments, tell, depart=None):
    """As a standby of whoever is writable: always safe, for standby.signal is there. It does not answer at an address that
    moves with the primary."""
    if not wait_until_stopped(member, 120, patience_seconds=LAGGARD_SECONDS):
        return
    with guarded(member["lock"]):
        if not is_unsettled(member, arguments["epoch"]):
            return
        if depart is not None:
            depart()
        leave_addresses(member, arguments.get("addresses", []))
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
    answer_again(member)
    unmark_standby(member)
    write_switch(member, epoch, "restored")
    write_pass(member, once=True)
    start_unit(member["unit"])
