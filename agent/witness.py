# --- witness: a quorum device's vote has no memory. With it fewer than half of the nodes go on, and after a boot those may know
# nothing of what the others did meanwhile: neither the data nor Pacemaker's configuration on them says so


def uninformed(member):
    """Why another member may have been primary without this host's knowledge, with rows that nobody has promised to be here;
    None where that cannot be. Asked once, when an election begins: what comes to be known later was not known to Pacemaker when
    it gave the order."""
    # Elsewhere no row is acknowledged that the positions of the others would not tell of.
    if member["synchronous"]["k"] > 0 and "repMode" not in member:
        return None
    values = corosync_map()
    if values is None:
        return "Corosync on this host does not answer"
    if "quorum.device.model" not in values:
        return None
    unseen = " or ".join(unseen_nodes(values, crm_mon()[1], member["node"]))
    return unseen and (
        "%s may have been primary while this host was off, with rows that are missing here: Corosync has quorum by the quorum"
        " device's vote, and %s took no part since it started here. Start %s. If it is lost for good, and its rows with it:"
        " `attrd_updater --node %s --name %s --update yes`"
    ) % (unseen, unseen, unseen, member["node"], own_attribute(member, "accept-loss"))


def nothing_hidden(member, own, answers):
    """Every other candidate has said what it has, and none is ahead, whoever was primary last; or an operator accepts the loss."""
    mine = (own["walTimeline"], lsn_value(own["lsn"]))
    others = [answers.get(peer["member"], {}) for peer in member["peers"] if peer["member"] in member["candidates"]]
    ends = [(answer.get("walTimeline", 0), lsn_value(answer.get("lsn", ""))) for answer in others]
    return all(lsn >= 0 and (timeline, lsn) <= mine for timeline, lsn in ends) or accepts_loss(member)


def corosync_map():
    """What Corosync on this host knows, by key; None where it does not answer."""
    try:
        code, text = run(["corosync-cmapctl"], 5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return dict(re.findall(r"^(\S+) \(\w+\) = (.*)$", text, re.MULTILINE)) if code == 0 else None


def unseen_nodes(values, view, own):
    """The nodes that Corosync has not seen since it started, or whose Pacemaker does not take part yet; none where more than half
    of all were there, this one included. Of any two such majorities one node is in both, and brings Pacemaker's newest
    configuration with it."""
    names = {number: values.get("nodelist.node.%s.name" % place, number) for place, number in nodes_in(values)}
    there = [name for name in nodes_online(view) if nodes_seen(view)[name].get("pending") != "true"]
    states = {name: values.get("runtime.members.%s.status" % number) for number, name in names.items()}
    unseen = [name for name, state in states.items() if state is None or state == "joined" and name not in [own, *there]]
    return sorted(unseen) if 2 * len(unseen) >= len(names) else []


def nodes_in(values):
    """Where each node stands in corosync.conf, and its number."""
    found = [(re.fullmatch(r"nodelist\.node\.(\d+)\.nodeid", key), value) for key, value in values.items()]
    return [(match[1], value) for match, value in found if match]


def accepts_loss(member):
    """An operator said so, on this host and since it booted."""
    code, text = crm_mon()
    return code == 0 and own_attribute(member, "accept-loss") in node_attributes(text).get(member["node"], {})


def record_refusal(member, reason):
    """Where preview finds it: an attribute of this node, until it is promoted or boots."""
    name = own_attribute(member, "refused")
    words = ["--delete"] if reason is None else ["--update", " ".join(reason.split())[:1000]]
    # The system's log has it as well.
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        run(["attrd_updater", "--name", name, *words], 5)
