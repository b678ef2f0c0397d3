# --- alone: who went on without standbys, and so is the only one that may be promoted (synchronous.onLoss: relax)


def record_words(member, node=None):
    return ["--type", "nodes", "--node", node or member["node"], "--name", member["relax"]["attribute"]]


def record_seen(member):
    nodes = recorded_nodes(member)
    if nodes is None:
        return "unknown"
    if not nodes:
        return "none"
    return "mine" if nodes == [member["node"]] else "other"


def recorded_nodes(member):
    """The nodes that alone may be promoted, by Pacemaker's configuration; as it lies on the disk where Pacemaker does not run;
    None where it cannot be read."""
    text = nodes_configured()
    return None if text is None else named_nodes(text, member["relax"]["attribute"])


def named_nodes(text, attribute):
    return sorted(node for node, found in configured_attributes(text).items() if attribute in found)


def relaxed_word(member):
    return {"answer": "relaxed", "nodes": (recorded_nodes(member) or []) if "relax" in member else []}


def position_word(member):
    """To whoever decides about a promotion: where this member is, and whom its copy of Pacemaker's configuration names."""
    return {**member_position(member), **({"relaxed": relaxed_word(member)["nodes"]} if "relax" in member else {})}


ANSWERS.update({"relaxed": relaxed_word, "position": position_word})


def went_on_alone(member):
    """Why a promotion here may lose rows that another member acknowledged alone, and that nobody else has; None where it does
    not: "" where this member is that one."""
    if "relax" not in member:
        return None
    nodes = recorded_nodes(member)
    if nodes is None:
        return "whether another member went on without standbys is not known: Pacemaker does not answer"
    others = [node for node in nodes if node != member["node"]]
    if others:
        return alone_text(member, others[0])
    return "" if nodes else None


def alone_text(member, node):
    return (
        "%s went on without standbys and has rows that nobody else has: bring it back. If it is lost for good, and its rows"
        " with it: `crm_attribute --type nodes --node %s --name %s --delete`"
    ) % (node, node, member["relax"]["attribute"])
