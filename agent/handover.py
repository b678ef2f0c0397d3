# --- handover: the steps of the outage, run from host to host by transient units that no SSH session owns

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


def is_unsettled(member, epoch):
    return journal_epoch(member) == epoch and switch_is(member, epoch, "stopping")


def revocation(epoch, timeline):
    return {"ask": "revoke", "epoch": epoch, "timeline": timeline}


def refuse(listeners, reason):
    listeners.tell(event="refused", reason=reason)
    linger(listeners)
    return False


def linger(listeners, hear=None):
    """Until everybody has heard the last word: whoever started this connects at once, or has gone. `hear`: gets what is said
    meanwhile."""
    deadline = time.monotonic() + 10
    while (listeners.clients or not listeners.met) and time.monotonic() < deadline:
        for _, line in listeners.lines(0.5):
            if hear is not None:
                hear(line)
