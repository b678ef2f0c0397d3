# --- Pacemaker: what it says on this host, and what its configuration says of the nodes. python3-minimal has no parser for XML;
# attributes are quoted, and in any order

CIB_FILE = "/var/lib/pacemaker/cib/cib.xml"


def crm_mon(seconds=5):
    """Its exit code, and what Pacemaker on this host says of the whole cluster; nothing where it is not installed, or hangs."""
    try:
        return run(["crm_mon", "--one-shot", "--output-as=xml"], seconds)
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""


def elements(name, text):
    """Of each element of this name its attributes, and what is inside. For those that are never inside one another."""
    found = re.findall(r"<%s\b([^>]*?)(?:/>|>(.*?)</%s>)" % (name, name), text, re.DOTALL)
    return [(dict(re.findall(r'([\w-]+)="([^"]*)"', words)), inner) for words, inner in found]


def inside(name, text):
    return "".join(inner for _, inner in elements(name, text))


def named_values(name, text):
    return {found["name"]: found.get("value", "") for found, _ in elements(name, text) if "name" in found}


def has_quorum(view):
    return any(found.get("with_quorum") == "true" for found, _ in elements("current_dc", view))


def nodes_seen(view):
    """By node what it is: online, pending, unclean and more, each "true" or "false"."""
    return {found["name"]: found for found, _ in elements("node", inside("nodes", view)) if "name" in found}


def nodes_online(view):
    return [name for name, found in nodes_seen(view).items() if found.get("online") == "true"]


def node_attributes(view):
    """By node, each by name. Only nodes that are online have any."""
    found = elements("node", inside("node_attributes", view))
    return {node["name"]: named_values("attribute", inner) for node, inner in found if "name" in node}


def own_attribute(member, name):
    return "%s-%s" % (member["resource"].removesuffix("-clone"), name)


def clone_in(view, resource):
    """The attributes of this clone, and what is inside; None where Pacemaker does not know it."""
    return next(((found, inner) for found, inner in elements("clone", view) if found.get("id") == resource), None)


def successors(view, resource, node):
    """On which other nodes a standby can be promoted, by the agent's scores. Only where Pacemaker manages the cluster and can
    switch this host off: a primary that crashed is neither demoted nor stopped."""
    clone = clone_in(view, resource)
    options = [found for found, _ in elements("cluster_options", view)]
    fences = any("true" in (found.get("stonith-enabled"), found.get("fencing-enabled")) for found in options)
    if clone is None or clone[0].get("managed") == "false" or not fences:
        return []
    score = "master-" + resource.removesuffix("-clone")
    nodes = node_attributes(view).items()
    return [name for name, found in nodes if name != node and re.match(r"\+?[1-9]", found.get(score, ""))]


def role_given(view, resource, node):
    """Does Pacemaker's word count here, and why this node has not the role of the primary; None where it has it, or where
    Pacemaker leaves that to others."""
    clone = clone_in(view, resource)
    if clone is None:
        return False, None  # Pacemaker runs here, and does not manage this cluster
    quorum = has_quorum(view)
    instances = [(found, [one.get("name") for one, _ in elements("node", inner)]) for found, inner in elements("resource", clone[1])]
    here = [found for found, nodes in instances if node in nodes]
    if any(found.get("managed") == "false" for found in [clone[0], *here]):
        return quorum, None  # it stands back
    if not quorum:
        return False, "Pacemaker has no quorum on this host: the others may promote another member"
    # Its role, not the one that is asked for (target_role).
    if any(found.get("role") == "Promoted" for found in here):
        return True, None
    promoted = [name for found, nodes in instances if found.get("role") == "Promoted" for name in nodes]
    elsewhere = "has promoted %s" % " and ".join(promoted) if promoted else "has promoted nobody"
    return False, "Pacemaker %s, and does not give this host the role" % elsewhere


def nodes_configured():
    """What Pacemaker's configuration says of its nodes; as it lies on the disk where Pacemaker does not run, nothing where there
    is none; None where it cannot be read."""
    if unit_state("pacemaker.service")[0] in AT_REST:
        return read_text(CIB_FILE) or ""
    try:
        code, text = run(["cibadmin", "--query", "--scope", "nodes"], 5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return text if code == 0 else None


def configured_attributes(text):
    """By node, those that it keeps while it is off."""
    found = elements("node", text)
    return {node["uname"]: named_values("nvpair", inner) for node, inner in found if "uname" in node}


def recorded_since(attribute):
    """By node that has it: its value. crm_mon would not tell it of a node that is off."""
    found = configured_attributes(nodes_configured() or "")
    return {node: attributes[attribute] for node, attributes in found.items() if attribute in attributes}
