# --- rep_mode: what Pacemaker's agent pgsql wants of synchronous commit is done here, where no acknowledged row is at stake

DECLARED = "# Pacemaker's agent pgsql: a standby is there, and commits wait for it as declared.\n"
RELAXED = "# Pacemaker's agent pgsql: no standby is there, and no commit waits for one.\nsynchronous_standby_names = ''\n"
CONFIRMED_SECONDS = 5
RULE_SECONDS = 15  # the agent waits for it within its monitor
AGENT_DIRECTORY = os.environ.get("OCF_RESKEY_tmpdir", "")  # where the agent pgsql keeps its files
# What lets the agent promote a member.
PROMOTABLE = {"sync": ("LATEST", "STREAMING|SYNC"), "async": ("LATEST", "STREAMING|SYNC", "STREAMING|ASYNC")}


def rep_mode(path):
    """The agent's `pg_ctl reload`, and a part of its start. It has written its wish, and takes it for done when this ends; where
    it must not be done now, the wish is made what is, and the agent comes back with it after its next look."""
    member = read_member(path)
    if member.get("repMode") == "sync":
        follow_wish(member, os.path.join(AGENT_DIRECTORY, "rep_mode.conf"))


def rep_mode_standby(path):
    """Before an orchestrator promotes this member: it begins with synchronous commit as declared. Nothing on a primary."""
    member = read_member(path)
    if member.get("repMode") == "sync" and not is_primary(member):
        lay_rule(member, DECLARED)


def follow_wish(member, wish):
    if wants_standby(read_text(wish)):
        if let_commits_wait(member):
            return
        refused = relax_refusal(member)
        if refused is None:
            let_commits_go(member)
            write_wish(member, wish, False)
        else:
            report(4, "commits on %s wait for a standby that has not confirmed one yet: %s" % (member["member"], refused))
        return
    if not is_primary(member):
        let_commits_go(member)  # of no consequence before it is promoted, and the agent refuses to start it otherwise
        return
    refused = relax_refusal(member)
    if refused is None:
        let_commits_go(member)
        report(6, "commits on %s no longer wait for a standby" % member["member"])
    else:
        write_wish(member, wish, True)
        report(4, "commits on %s go on waiting for a standby: %s" % (member["member"], refused))


def wants_standby(text):
    """`synchronous_standby_names = '"pg2"'`, or nothing between the quotes."""
    return re.search(r"synchronous_standby_names *= *'[^']", text or "") is not None


def write_wish(member, wish, standby):
    names = '"%s"' % member["peers"][0]["member"] if standby else ""
    with open(wish, "w", encoding="utf-8") as file:
        file.write("synchronous_standby_names = '%s'\n" % names)


def let_commits_go(member):
    lay_rule(member, RELAXED)


def let_commits_wait(member):
    """True once a commit was confirmed by a standby: so everything before it was."""
    lay_rule(member, DECLARED)
    if not commits_wait(member, RULE_SECONDS):
        return False
    sql, deadline = Sql(member), time.monotonic() + CONFIRMED_SECONDS
    try:
        while time.monotonic() < deadline:
            if sql.ask("select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')", 2) == "1":
                return sql.ask("select pg_logical_emit_message(true, 'pgha', 'rep_mode')", CONFIRMED_SECONDS) is not None
            time.sleep(0.1)
    finally:
        sql.close()
    return False


def lay_rule(member, text):
    path = member["repModeConf"]
    if read_text(path) != text:
        # PostgreSQL reads it as its own user
        write_durably(path, text, os.stat(member["roleConf"]))
    reload_member(member)


def managers_view():
    """What Pacemaker says on this host; "" where it does not answer."""
    code, text = crm_mon(10)
    return text if code == 0 else ""


def data_status(member, node):
    """History as the agent keeps it; "" where it never was written, None where it cannot be read. crm_mon would not tell it of
    a node that is off."""
    text = nodes_configured()
    return None if text is None else configured_attributes(text).get(node, {}).get(own_attribute(member, "data-status"), "")


def relax_refusal(member):
    """Why a commit must not be acknowledged without a standby; None where no standby can be promoted any more. That must be
    recorded where each of them reads it: in a cluster configuration with quorum, by a node that takes part, or is off."""
    view = managers_view()
    if not has_quorum(view):
        return "Pacemaker has no quorum on this host, or does not answer"
    for peer in member["peers"]:
        node = node_of(peer)
        status = data_status(member, node)
        if status is None:
            return "Pacemaker's configuration cannot be read"
        if status in PROMOTABLE["sync"]:
            return "Pacemaker may still promote %s (%s)" % (node, status)
        seen = nodes_seen(view).get(node)
        if seen is None or "true" in (seen.get("unclean"), seen.get("pending")):
            return "whether %s is off is not known" % node
    return None


def recorded_refusal(member):
    """Why the agent's own records forbid that this member is promoted; None where they do not. They are history: that they
    allow it proves nothing."""
    if "repMode" not in member:
        return None
    status = data_status(member, member["node"])
    if status not in PROMOTABLE[member["repMode"]]:
        return "the agent's record says of its data: %s" % (status or "nothing")
    if member["repMode"] == "sync":
        refused = relax_refusal(member)
        if refused is not None:
            return refused
        let_commits_go(member)  # the new primary begins alone
    return None
