# --- addresses: those that move with the primary, within the outage. At most one host answers for each at any moment: the old
# one falls silent before the new one begins, and keeps them only so that its clients are refused and not left waiting.

KEEP_SECONDS = 2  # how long the old host refuses its clients where the target does not say that it has the addresses


def feed(argv, text, seconds):
    """As `run`, with a standard input; what it says on either output. Code 127 where the program is missing."""
    try:
        done = subprocess.run(
            argv, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
        )
    except FileNotFoundError:
        return 127, "%s is not installed" % argv[0]
    except subprocess.TimeoutExpired:
        return 124, "%s did not end within %g s" % (argv[0], seconds)
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def carried():
    """Every address of this host: interface, address and prefix."""
    code, text = feed(["ip", "-o", "addr", "show"], "", 10)
    if code != 0:
        sys.exit("ip addr show: %s" % text)
    lines = [line.split() for line in text.splitlines()]
    found = [(words[1].split("@")[0], *words[3].partition("/")[::2]) for words in lines if len(words) > 3]
    return [(nic, address, int(prefix)) for nic, address, prefix in found if prefix.isdigit()]


def packed(address):
    """As a number, and how many bits it has."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    data = socket.inet_pton(family, address)
    return int.from_bytes(data, "big"), len(data) * 8


def in_network(address, wanted):
    (number, bits), (base, width) = packed(address), packed(wanted["address"])
    return bits == width and (number ^ base) >> (bits - wanted["prefix"]) == 0


def interface_for(wanted, found):
    """The declared one, or the one that has an address in the same network; None without."""
    if wanted["nic"]:
        return wanted["nic"] if any(nic == wanted["nic"] for nic, _, _ in found) else None
    nics = [nic for nic, address, _ in found if in_network(address, wanted)]
    return nics[0] if nics else None


def where_carried(wanted, found):
    same = packed(wanted["address"])
    return [(nic, address, prefix) for nic, address, prefix in found if packed(address) == same]


def silence_file(member):
    """Which addresses this host is about to leave. Of this boot, as the rules are that it stands for."""
    return os.path.join(member["runDirectory"], "silent")


def silence_table(member):
    return "pgha.%s.%s" % (member["cluster"], member["member"])  # no name has a dot: it is no other member's


def silence_lifted(member):
    table = silence_table(member)
    return "".join("table %s %s\ndelete table %s %s\n" % (family, table, family, table) for family in ("arp", "ip6"))


def silence_rules(member, addresses):
    """Nothing that leaves this host says any more where the addresses are: no answers, no announcements, and no questions in
    their name, from which neighbours learn as well. What comes to them still arrives, and is refused."""
    four = ", ".join(one["address"] for one in addresses if ":" not in one["address"])
    six = ", ".join(one["address"] for one in addresses if ":" in one["address"])
    chain = "table %s %s {\n chain output {\n  type filter hook output priority 0; policy accept;\n  %s drop\n }\n}\n"
    table = silence_table(member)
    arp = chain % ("arp", table, "arp saddr ip { %s }" % four) if four else ""
    types = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"
    neighbours = chain % ("ip6", table, "ip6 saddr { %s } %s" % (six, types)) if six else ""
    return silence_lifted(member) + arp + neighbours


def cannot_leave(member, addresses):
    """Why this host could not fall silent for them, before anything depends on it; None when it could."""
    if not addresses:
        return None
    code, said = feed(["nft", "--check", "--file", "-"], silence_rules(member, addresses), 10)
    return None if code == 0 else "it cannot fall silent for its virtual IPs: %s" % said.split("\n")[0]


def cannot_take(addresses):
    """Why this host could not carry them; None when it could."""
    found = carried() if addresses else []
    for one in addresses:
        if interface_for(one, found) is None:
            name = "%s/%d" % (one["address"], one["prefix"])
            if one["nic"]:
                return "it has no interface %s with an address, which is to carry %s" % (one["nic"], name)
            return "none of its interfaces has an address in the network of %s" % name
    return None


def fall_silent(member, addresses):
    """True once nobody hears from this host where the addresses are."""
    write_durably(silence_file(member), to_json({"addresses": addresses}))
    code, said = feed(["nft", "--file", "-"], silence_rules(member, addresses), 10)
    if code == 0:
        return True
    print("%s is not silent, and gives its addresses up at once: %s" % (member["member"], said), file=sys.stderr)
    return leave_addresses(member, addresses)


def answer_again(member):
    """This host keeps its addresses: what was begun to leave them is undone."""
    if not os.path.exists(silence_file(member)):
        return
    lift_silence(member)


def lift_silence(member):
    code, said = feed(["nft", "--file", "-"], silence_lifted(member), 10)
    if code != 0:
        print("%s stays silent for its addresses: %s" % (member["member"], said), file=sys.stderr)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(silence_file(member))


def leave_addresses(member, addresses):
    """True once this host has none of them any more. Silent until then, and for ever where one cannot be taken away: another
    host may answer for it."""
    addresses = addresses or read_record(silence_file(member)).get("addresses", [])
    if not addresses:
        return True
    there = [one for wanted in addresses for one in where_carried(wanted, carried())]
    for nic, address, prefix in there:
        run(["ip", "addr", "del", "%s/%d" % (address, prefix), "dev", nic], 10)
    found = carried() if there else []
    left = [nic + " " + address for wanted in addresses for nic, address, _ in where_carried(wanted, found)]
    if left:
        print("%s still has %s" % (member["member"], ", ".join(left)), file=sys.stderr)
        return False
    answer_again(member)
    return True


def take_addresses(addresses):
    """Adds those that are not here, and tells the neighbours of all. Returns what it could not add."""
    found, failed = carried() if addresses else [], []
    for one in addresses:
        nic = interface_for(one, found)
        if not where_carried(one, found):
            # An IPv6 address is not to be probed for a second before it counts: nobody else answers for it.
            more = ["nodad"] if ":" in one["address"] else ["brd", "+"]
            argv = ["ip", "addr", "add", "%s/%d" % (one["address"], one["prefix"]), *more, "dev", nic or "none"]
            code, said = feed(argv, "", 10)
            if code != 0:
                failed.append("%s: %s" % (one["address"], said))
                continue
        tell_neighbours(one["address"], nic)
    return failed


def arp_announcement(hardware, address):
    """Sender and target are the same address: whoever knows another place for it takes this one (RFC 5227, 3)."""
    ip = socket.inet_pton(socket.AF_INET, address)
    frame = b"\xff" * 6 + hardware + b"\x08\x06"
    return frame + struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + hardware + ip + b"\0" * 6 + ip


def neighbour_advertisement(hardware, address):
    """Unsolicited, and it overrides (RFC 4861, 4.4). The kernel adds the checksum."""
    head = struct.pack(">BBHI", 136, 0, 0, 0x20000000)
    return head + socket.inet_pton(socket.AF_INET6, address) + b"\x02\x01" + hardware


def tell_neighbours(address, nic):
    """Where the address is from now on. It is there without that too, but those who knew another place find it later."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
            link.bind((nic, 0))
            hardware = link.getsockname()[4]
            if len(hardware) != 6:
                return  # no Ethernet: nobody to tell
            if ":" not in address:
                link.send(arp_announcement(hardware, address))
                return
        index = socket.if_nametoindex(nic)
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as out:
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            out.bind((address, 0, 0, index))
            out.sendto(neighbour_advertisement(hardware, address), ("ff02::1", 0, 0, index))
    except OSError as error:
        print("%s on %s was not announced: %s" % (address, nic, error), file=sys.stderr)


class Departure:
    """The old host leaves its addresses beside whatever else it does, from the moment the ticket was consumed."""

    def __init__(self, member, arguments, channel):
        self.member, self.epoch, self.channel = member, arguments["epoch"], channel
        self.addresses = arguments.get("addresses", [])
        self.hurried = arguments["neededAtOnce"]
        self.taken = threading.Event()
        self.work = threading.Thread(target=self.leave)

    def begin(self):
        if self.addresses:
            self.work.start()

    def leave(self):
        if fall_silent(self.member, self.addresses):
            self.channel.send({"ask": "silent", "epoch": self.epoch})
            self.taken.wait(KEEP_SECONDS)
        leave_addresses(self.member, self.addresses)

    def end(self):
        """Returns once this host has left them. Where its return is needed at once it does not wait for the target."""
        if self.hurried:
            self.taken.set()
        if self.work.ident is not None:
            self.work.join()

    def is_over(self):
        return not self.work.is_alive()


class Arrival:
    """The target takes the addresses as soon as the old host says that it is silent, whatever else it waits for. Without that
    word it never does: they may be answered for."""

    def __init__(self, member, arguments, listeners):
        self.member, self.epoch, self.listeners = member, arguments["epoch"], listeners
        self.addresses = arguments.get("addresses", [])
        self.has_them = False
        self.over = threading.Event()
        self.work = threading.Thread(target=self.listen)

    def begin(self):
        if self.addresses:
            self.work.start()

    def listen(self):
        while not self.over.is_set():
            for _, line in self.listeners.lines(0.02):
                self.hear(line)

    def hear(self, line):
        request = parse_line(line) if line else {}
        if self.has_them or request.get("ask") != "silent" or request.get("epoch") != self.epoch:
            return
        if not self.addresses:
            return
        failed = take_addresses(self.addresses)
        self.has_them = not failed
        if failed:
            print("%s does not have its addresses: %s" % (self.member["member"], "; ".join(failed)), file=sys.stderr)
        else:
            self.listeners.tell(event="addressed")

    def end(self):
        """Says once more where they are, for neighbours that missed it. Whoever reads lines from here on reads this word too."""
        self.over.set()
        if self.work.ident is not None:
            self.work.join()
        if self.has_them:
            take_addresses(self.addresses)


def settle_addresses(arguments):
    """An orchestrator that holds the cluster knows the primary, and nothing of an earlier handover stays: the primary's host
    (`owner` 1) answers for what it has, every other one (0) has none of them."""
    member, left = read_member(arguments["member"]), True

    def settle():
        nonlocal left
        if arguments["owner"]:
            answer_again(member)
        else:
            left = leave_addresses(member, arguments["addresses"])

    if not while_held(arguments, settle):
        return
    if left:
        say(result="settled")
    else:
        say(result="refused", reason="an address that moves with the primary cannot be removed from its host")
