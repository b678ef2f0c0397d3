# --- elect: Pacemaker wants this member promoted. It is, where no acknowledged row can be missing here, and not otherwise.

ELECTION_SECONDS = 25  # below the time limit of the agent's promotion
AHEAD_SECONDS = 3  # what was under way when the old primary stopped may still arrive
FIRST_WORD_SECONDS = 3
ELECTION_RETRY_SECONDS = 1


def elect(path):
    """The agent's `pg_ctl promote`. Returns once this member is in production; else ends with a sentence that says why not."""
    member = read_member(path)
    began = time.monotonic()
    found = recorded_refusal(member) or win(member, began) or promote_elected(member, began + ELECTION_SECONDS)
    record_refusal(member, found)
    if found is not None:
        report(3, "%s is not promoted: %s" % (member["member"], found))
        sys.exit(1)


def win(member, began):
    """None once this member may be promoted, or why not. Each other member is asked again until it answers."""
    answers, over = {}, threading.Event()
    alone = went_on_alone(member)
    if alone:
        return alone
    # Of what it acknowledged alone nobody else has anything: it needs nobody's position.
    rule = {**member, "synchronous": {"mode": "off", "k": 0}} if alone == "" else member

    blind = uninformed(rule)

    def ask(name):
        while not over.is_set():
            answers[name] = ask_peer(member, name, {"ask": "position"}, 10)
            over.wait(ELECTION_RETRY_SECONDS)

    for peer in member["peers"]:
        threading.Thread(target=ask, args=(peer["member"],), daemon=True).start()
    awaited = whose_hosts_live(member)
    try:
        while True:
            now, limit_seconds, pause = time.monotonic() - began, ELECTION_SECONDS, 0.05
            reason = busy(member)
            if reason is None:
                known = dict(answers)
                own = member_position(member)
                reason, limit_seconds = judge(rule, own, known, now, awaited)
                if reason is None:
                    reason = word_of_others(member, known)
                if reason is None and blind and not nothing_hidden(member, own, known):
                    reason, limit_seconds, pause = blind, ELECTION_SECONDS, ELECTION_RETRY_SECONDS
            if reason is None or now >= limit_seconds:
                return reason
            time.sleep(pause)
    finally:
        over.set()


def whose_hosts_live(member):
    """The other members whose hosts Pacemaker sees; all of them where it does not answer."""
    _, view = crm_mon()
    online = nodes_online(view)
    return [peer["member"] for peer in member["peers"] if node_of(peer) in online or not online]


def word_of_others(member, answers):
    """Their copies of Pacemaker's configuration may be newer than this one's: then it takes no part in deciding."""
    if "relax" not in member:
        return None
    for name, answer in sorted(answers.items()):
        nodes = [node for node in answer.get("relaxed", []) if node != member["node"]]
        if nodes:
            return "%s knows that %s" % (name, alone_text(member, nodes[0]))
    return None


def busy(member):
    """Somebody else decides who is primary here."""
    lock = lock_state(member["lock"])
    if lock["alive"]:
        return "%s is at work on the cluster since %s" % (lock["holder"], lock["since"])
    if journal_epoch(member) > 0:
        return "the handover of epoch %d is not ended; `pulumi up` ends it" % journal_epoch(member)
    return None


def judge(member, own, answers, seconds, awaited):
    """Why this member must not be promoted, by what is known after so many seconds, and for how many that is worth waiting;
    None where it may. Members whose hosts live (`awaited`) are heard first, whatever the rule needs: each may know why not.

    A commit is acknowledged once k of the n standbys have it, so among any n - k + 1 of them one has it: with the positions of
    so many candidates known, and none ahead, nothing acknowledged is missing here. A former primary that is stopped counts
    where it is not ahead; what it has alone was not acknowledged by the rule."""
    name, candidates, k = member["member"], member["candidates"], member["synchronous"]["k"]
    if name not in candidates:
        return "it is no candidate (candidate: false)", 0
    if not own["running"] or not own["standby"]:
        return "it is no standby that runs", 0
    if own["lsn"] == "" and member["peers"]:
        return own["reason"], ELECTION_SECONDS
    mine = (own["walTimeline"], lsn_value(own["lsn"]))
    known, unknown = [], []
    for other, answer in sorted(answers.items()):
        reason = objection(own, answer)
        if reason is not None:
            return "%s %s" % (other, reason), ELECTION_SECONDS if answer["running"] or answer.get("starting") else AHEAD_SECONDS
        theirs = (answer.get("walTimeline", 0), lsn_value(answer.get("lsn", "")))
        if other not in candidates:
            continue
        if not answer.get("lsn"):
            unknown.append("%s: %s" % (other, answer.get("reason") or answer.get("unreachable", "no position")))
        elif is_apart(own["timeline"], own["began"], answer):
            unknown.append("%s: was promoted apart" % other)
        elif theirs <= mine:
            known.append(other)
        elif answer["running"] or answer["standby"]:
            text = "%s has WAL up to %s of timeline %d, this member up to %s of timeline %d"
            return text % (other, answer["lsn"], theirs[0], own["lsn"], mine[0]), AHEAD_SECONDS
        else:
            unknown.append("%s: a former primary, with WAL of its own up to %s" % (other, answer["lsn"]))
    silent = [peer["member"] for peer in member["peers"] if peer["member"] not in answers]
    if k == 0 and own["timeline"] > mine[0]:
        return "it knows of timeline %d, and has nothing of it" % own["timeline"], 0
    # Without a synchronous rule nothing was promised beyond what those have who can be asked.
    needed = len(candidates) - k if k > 0 else 0
    if 1 + len(known) >= needed:
        unheard_yet = [name for name in silent if name in awaited] if seconds < FIRST_WORD_SECONDS else []
        return ("%s did not answer yet" % unheard_yet[0], ELECTION_SECONDS) if unheard_yet else (None, 0)
    unknown += ["%s: no answer" % name for name in silent if name in candidates]
    text = "an acknowledged row may be missing here: of %d candidates the positions of %d have to be known, and %d are (%s)"
    return text % (len(candidates), needed, 1 + len(known), "; ".join(unknown)), ELECTION_SECONDS


def objection(own, answer):
    """What another member says that forbids any promotion here; None when it says nothing of the kind."""
    if "timeline" not in answer:
        return None
    if answer["systemIdentifier"] not in ("", own["systemIdentifier"]):
        return "holds another database (system identifier %s)" % answer["systemIdentifier"]
    if answer["timeline"] > own["timeline"]:
        return "is on timeline %d, this member on %d: another member was promoted meanwhile" % (
            answer["timeline"],
            own["timeline"],
        )
    if answer["running"] and not answer["standby"]:
        return "runs as a primary"
    if answer.get("starting"):
        return "is about to start as a primary"
    return None


def promote_elected(member, deadline):
    """None once it is in production. Nobody takes the lock between the last look at it and the order."""
    if "relax" in member:
        reason = went_on_alone(member)
        if reason:
            return reason
        forget_relaxed(member)
    with guarded(member["lock"]):
        reason = busy(member)
        if reason is not None:
            return reason
        answer_again(member)
        # Before it: after a power failure a primary without one would be taken for one whose process died.
        write_pass(member)
        if not promote(member):
            os.unlink(member["pass"])
            return "its PostgreSQL does not run any more"
    if not wait_until_in_production(member, max(1, deadline - time.monotonic())):
        return "it was told to promote, and did not leave recovery in time"
    report(6, "%s was promoted" % member["member"])
    return None
