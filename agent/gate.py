# --- gate: before PostgreSQL starts without anybody who has proved the right to it

GATE_RETRY_SECONDS = 2


def verdict(own, answers, member_count):
    """May a former primary start as primary, by its own state and what the others say? None, or why not yet."""
    for name, answer in sorted(answers.items()):
        if answer.get("systemIdentifier") not in ("", own["systemIdentifier"]) and "timeline" in answer:
            return "%s holds another database (system identifier %s)" % (name, answer["systemIdentifier"])
        if answer.get("timeline", 0) > own["timeline"]:
            return "%s is on timeline %d, this member on %d: another member was promoted meanwhile" % (
                name,
                answer["timeline"],
                own["timeline"],
            )
        if answer.get("state") == "in production":
            return "%s is in production" % name
        if answer.get("ticketState") == "consumed":
            return "%s holds the right to be primary (epoch %d)" % (name, answer["ticketEpoch"])
    mine = beginning(own.get("began"))
    apart = {name for name, answer in answers.items() if is_apart(own["timeline"], mine, answer)}
    answered = 1 + sum(1 for name, answer in answers.items() if has_word(answer) and name not in apart)
    if answered * 2 > member_count:
        return None
    silent = [
        "%s: %s" % (name, "was promoted apart" if name in apart else silence(answer))
        for name, answer in sorted(answers.items())
        if name in apart or not has_word(answer)
    ]
    return "only %d of %d members answer (%s)" % (answered, member_count, "; ".join(silent))


def is_apart(timeline, began, answer):
    """Promotions that know nothing of each other give the same number: whose timeline began elsewhere is no voice for this
    member, nor is this one for the other. Not apart where one of the two beginnings is not known."""
    return answer.get("timeline") == timeline and bool(began and answer.get("began")) and answer["began"] != began


def has_word(answer):
    """One that cannot read its own data does not know who was promoted."""
    return answer.get("timeline", 0) > 0


def silence(answer):
    return answer.get("unreachable", "its pg_control cannot be read")


def ask_all(member):
    answers = {}

    def ask(name):
        answers[name] = ask_peer(member, name, {"ask": "state"}, 5)

    asking = [threading.Thread(target=ask, args=(peer["member"],)) for peer in member["peers"]]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    return answers


def gate(path):
    """Returns when PostgreSQL may start. Everything is read anew each time: an orchestrator may have put it right."""
    told, began = None, boot_clock()
    while True:
        member = read_member(path)
        admitted = is_admitted(member)
        reason = reason_to_wait(member, boot_clock() - began)
        if reason is None:
            # From here on whoever would promote another member is told that this one starts.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(member["gateReason"])
            told = None
            reason = None if admitted else role_taken(member)
        if reason is None:
            if is_marked_standby(member):
                cut_at_start(member)
            return
        if reason != told:
            print("%s does not start: %s" % (member["member"], reason), file=sys.stderr, flush=True)
            os.makedirs(os.path.dirname(member["gateReason"]), mode=0o700, exist_ok=True)
            with open(member["gateReason"], "w", encoding="utf-8") as file:
                file.write(reason)
            told = reason
        time.sleep(GATE_RETRY_SECONDS)


def role_taken(member):
    """Pacemaker's word once more. Its agent pgsql looks only for the process: it takes one whose start stalls here for stopped,
    nothing is fenced, and another member may have been promoted since Pacemaker was asked."""
    if "repMode" not in member or is_marked_standby(member):
        return None
    return managers_word(member)[1]


def reason_to_wait(member, waited):
    marker = read_record(member["marker"])
    if marker.get("state") != "ready":
        return "its data is not complete (%s)" % marker.get("state", "no marker")
    switch = read_switch(member)
    if switch["state"] == "stopping":
        # In the same boot the unit of the handover lives, and settles it.
        if switch["boot"] == boot_id() and journal_epoch(member) == switch["epoch"]:
            return "a handover is under way (epoch %d)" % switch["epoch"]
        return settle_at_start(member, switch["epoch"])
    if is_marked_standby(member):
        return None
    journal = read_record(member["journal"])
    managed, reason = managers_word(member)
    if reason is not None:
        return reason
    if managed:
        reason = slow_recovery(member, waited)
        tell_whether_it_yields(member, reason is not None)
        if reason is not None:
            return reason
        if use_pass(member):
            return None
    if journal.get("to") == member["member"]:
        return old_primarys_word(member, journal)
    own = control_data(member["programs"], member["dataDirectory"])
    if own is None:
        return "its pg_control cannot be read"
    reason = verdict(own, ask_all(member), 1 + len(member["peers"]))
    if reason is None:
        with guarded(member["lock"]):
            write_pass(member)
    return reason


def use_pass(member):
    """The same rule as in start-gate, for a pass that came while this waited."""
    if not is_admitted(member) and (not has_pass(member) or automatic_restarts(member["unit"]) == 0):
        return False
    write_pass(member)
    return True


def has_pass(member):
    return (read_text(member["pass"]) or "").split()[:1] == [boot_id()]


def is_admitted(member):
    """Somebody has just proved the right to this one start."""
    words = (read_text(member["pass"]) or "").split()
    return has_pass(member) and words[1:2] == ["once"] and boot_clock() < int(words[2])


def managers_word(member):
    """Whether a pass counts, and why the failover manager does not want this member to start as a primary now; None where it
    does, or leaves the cluster alone. It may have promoted another one because this one's process died."""
    if member.get("manager") != "pacemaker" or is_admitted(member):
        return True, None
    active, enabled = unit_state("pacemaker.service")
    if active in AT_REST and not enabled:
        return False, None  # this host is not, or no longer, one of its nodes
    if active != "active":
        return False, "Pacemaker does not run on this host (pacemaker.service is %s)" % active
    code, text = crm_mon()
    if code != 0:
        return False, "Pacemaker on this host does not answer"
    return role_given(text, member["resource"], member["node"])


# From a member that stays down Pacemaker takes the role within about six seconds: a longer recovery is no shortcut.
SHORT_RECOVERY_SECONDS = 6
# What PostgreSQL replays in a second where its caches are cold; most hosts do more.
RECOVERY_BYTES_PER_SECOND = 50_000_000
# Whoever has not taken over by then will not.
SUCCESSION_SECONDS = 60


def slow_recovery(member, waited):
    """Why a primary that crashed leaves its role to another member, which has no recovery before it; None: it starts itself."""
    if member.get("manager") != "pacemaker" or is_admitted(member) or waited > SUCCESSION_SECONDS:
        return None
    to_read = recovery_bytes(member)
    seconds = to_read / RECOVERY_BYTES_PER_SECOND
    if seconds <= SHORT_RECOVERY_SECONDS:
        return None
    others = successors(crm_mon()[1], member["resource"], member["node"])
    if not others:
        return None
    return "its recovery would read %d MB of WAL (about %d s): %s can take over sooner" % (
        to_read // 1_000_000,
        seconds,
        " or ".join(others),
    )


def tell_whether_it_yields(member, yields):
    """For the failover manager's agent, which waits for a member that systemd is starting: see templates/pacemaker/pg_isready.hbs."""
    word = os.path.join(os.path.dirname(member["gateReason"]), "yields")
    if yields:
        os.makedirs(os.path.dirname(word), mode=0o700, exist_ok=True)
        with open(word, "w", encoding="utf-8"):
            return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(word)


def recovery_bytes(member):
    """At most so much WAL is read before it accepts connections: from the last checkpoint to the end of the newest segment.
    Segments of later numbers may lie there too: laid in advance, and not written yet."""
    directory = member["dataDirectory"]
    control = control_fields(member["programs"], directory)
    redo = lsn_value(control.get("Latest checkpoint's REDO location", ""))
    segment_bytes = int(control.get("Bytes per WAL segment", "0"))
    files = wal_files(directory)
    if redo < 0 or segment_bytes == 0 or not files:
        return 0
    newest = max(files, key=lambda name: os.stat(os.path.join(directory, "pg_wal", name)).st_mtime_ns)
    return max(0, (segment_number(newest[8:], segment_bytes) + 1) * segment_bytes - redo)


def automatic_restarts(unit):
    """Since somebody last started it. 0 also where systemd does not say."""
    _, text = run(["systemctl", "show", "--property=NRestarts", "--value", unit], 10)
    return int(text) if text.strip().isdigit() else 0


def old_primarys_word(member, journal):
    """After a boot, or when time was lost, the target of a handover that is not ended: one that seemed dead may have been
    given up, and the old primary brought back. Neither of the two starts as primary without the other's word; a majority
    cannot know. The word is as short-lived as a ticket."""
    asked = boot_clock()
    answer = ask_peer(member, journal["from"], {"ask": "state"}, 5)
    given = (answer.get("switchEpoch"), answer.get("switchState"))
    own = control_data(member["programs"], member["dataDirectory"])
    if own is None:
        return "its pg_control cannot be read"
    if answer.get("timeline", 0) > own["timeline"]:
        return "%s is on timeline %d, this member on %d: somebody else was promoted" % (
            journal["from"],
            answer["timeline"],
            own["timeline"],
        )
    if answer.get("heldBy", 0) not in (0, journal["epoch"]) or answer.get("switchUnder", 0) > 0:
        return "an orchestrator is at work on %s, and may bring it back" % journal["from"]
    if given in ((journal["epoch"], "stopping"), (journal["epoch"], "followed")):
        with guarded(member["lock"]):
            write_pass(member)
            if boot_clock() - asked < TICKET_LIFE_SECONDS:
                return None
            os.unlink(member["pass"])
        return "what %s said is too old" % journal["from"]
    return "whether %s came back as primary is not known: %s" % (
        journal["from"],
        answer.get("unreachable", "its switch says %s of epoch %s" % (given[1], given[0])),
    )


def settle_at_start(member, epoch):
    """This host died between the order to stop and its end: the ticket is taken away, or it was consumed."""
    journal = read_record(member["journal"])
    if journal.get("epoch") != epoch:
        with guarded(member["lock"]):
            write_switch(member, epoch, "followed")
        return None if is_marked_standby(member) else "an orchestrator is at work"
    answer = ask_peer(member, journal["to"], revocation(epoch, journal["timeline"]), 5)
    outcome = answer.get("answer")
    if outcome not in ("consumed", "promoted", "overtaken", "revoked"):
        return "whether %s was promoted is not known: %s" % (journal["to"], answer.get("unreachable", outcome))
    with guarded(member["lock"]):
        if not is_unsettled(member, epoch):
            return "an orchestrator is at work"
        if outcome != "revoked":
            mark_standby(member)  # the power may have gone before it was
            write_switch(member, epoch, "followed")
        elif lock_state(member["lock"])["alive"]:
            return "an orchestrator is at work"
        else:
            unmark_standby(member)
            write_switch(member, epoch, "restored")
            write_pass(member)
    return None


def started(path):
    """After PostgreSQL's start: a promotion that this host's death cut off is completed, with the old primary's word."""
    member = read_member(path)
    if is_marked_standby(member):
        complete_promotion(member)


def admit(arguments):
    """An orchestrator that holds the cluster has confirmed that this member is the primary: it may start as such."""
    member = read_member(arguments["member"])
    if while_held(arguments, lambda: write_pass(member, once=True)):
        say(result="admitted")


def take_back(arguments):
    """The ticket of a handover that its orchestrator left is taken away, or it is too late."""
    member = read_member(arguments["member"])
    say(result=revoke(member, arguments["journal"], arguments["timeline"]))


def complete(arguments):
    member = read_member(arguments["member"])

    def forward():
        if read_ticket(member)["state"] == "consumed":
            promote(member)

    if while_held(arguments, forward):
        say(result="forward")
