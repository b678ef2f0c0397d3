# --- channel: how hosts speak with each other. sshd runs this for a key that can do nothing else.


class Channel:
    """A conversation with another member's host. Every method gives up at its limit; nothing is ever repeated silently."""

    def __init__(self, member, to):
        peer = next(peer for peer in member["peers"] if peer["member"] == to)
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "3",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityFile": member["channelKey"],
            "ServerAliveCountMax": "2",
            "ServerAliveInterval": "2",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": member["knownHosts"],
        }
        flags = [flag for name, value in options.items() for flag in ("-o", "%s=%s" % (name, value))]
        self.process = subprocess.Popen(
            ["ssh", "-F", "/dev/null", "-T", *flags, "-p", str(peer["port"]), "pgha@" + peer["address"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.rest = b""

    def fileno(self):
        return self.process.stdout.fileno()

    def send(self, request):
        try:
            self.process.stdin.write((to_json(request) + "\n").encode())
            self.process.stdin.flush()
        except OSError:
            pass  # Its end is seen at the next answer.

    def answer(self, seconds):
        """The next line; {} when none came within the limit; None when the conversation ended."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.rest:
            readable, _, _ = select.select([self], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                return {}
            data = os.read(self.fileno(), 65536)
            if data == b"":
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return parse_line(line)

    def close(self):
        """Returns what ssh had to say."""
        self.process.kill()
        _, said = self.process.communicate()
        return said.decode("utf-8", "replace").strip()


LINE_BYTES = 4096  # no word between hosts is longer


def parse_line(line):
    try:
        parsed = ast.literal_eval(line.decode("utf-8", "replace")) if len(line) <= LINE_BYTES else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def ask_peer(member, to, request, seconds):
    """One question, one answer; an answer with `unreachable` when there is none."""
    if all(peer["member"] != to for peer in member["peers"]):
        return {"unreachable": "it is no member any more"}
    channel = Channel(member, to)
    channel.send(request)
    answer = channel.answer(seconds)
    said = channel.close()
    if answer:
        return answer
    return {"unreachable": said.split("\n")[-1] or "no answer within %s s" % seconds}


def member_state(member):
    """What a neighbour may want to know before it starts."""
    found = control_data(member["programs"], member["dataDirectory"]) or {}
    ticket, switch, lock = read_ticket(member), read_switch(member), lock_state(member["lock"])
    return {
        "answer": "state",
        "systemIdentifier": found.get("systemIdentifier", ""),
        "timeline": found.get("timeline", 0),
        "began": beginning(found.get("began")),
        "state": found.get("state", ""),
        "ticketEpoch": ticket["epoch"],
        "ticketState": ticket["state"],
        "switchEpoch": switch["epoch"],
        "switchState": switch["state"],
        "switchUnder": switch.get("under", 0),
        "heldBy": lock["epoch"] if lock["alive"] else 0,
    }


# What else a neighbour may ask for: the part of the program that answers it stands further below.
ANSWERS = {}


def channel(member):
    """Answers the lines of one neighbour until it goes."""
    for line in iter(lambda: sys.stdin.buffer.readline(LINE_BYTES), b""):
        if not line.endswith(b"\n"):
            return
        request = parse_line(line)
        asked, epoch, timeline = (request.get(field) for field in ("ask", "epoch", "timeline"))
        if asked == "state":
            say(**member_state(member))
        elif isinstance(asked, str) and asked in ANSWERS:
            say(**ANSWERS[asked](member))
        elif asked == "revoke" and is_count(epoch) and is_count(timeline):
            say(answer=revoke(member, epoch, timeline))
        elif asked == "ticket of" and is_count(epoch):
            relay_ticket(member, epoch)
            return
        else:
            say(answer="not understood")


def is_count(value):
    return type(value) is int and value > 0


def relay_ticket(member, epoch):
    """Between the neighbour and the process here that waits for its ticket."""
    try:
        waiting = connect_unix(socket_path(member, "take", epoch))
    except OSError as error:
        say(answer="refused", reason="nobody waits for a ticket of epoch %d (%s)" % (epoch, error.strerror))
        return
    relay(waiting)


def connect_unix(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def relay(connection):
    """Standard input to the socket, the socket to standard output, until either ends."""
    ends = [sys.stdin.buffer.fileno(), connection.fileno()]
    while True:
        readable, _, _ = select.select(ends, [], [])
        if ends[1] in readable:
            data = connection.recv(65536)
            if data == b"":
                return
            os.write(1, data)
        if ends[0] in readable:
            data = os.read(ends[0], 65536)
            if data == b"":
                return
            connection.sendall(data)


def socket_path(member, role, epoch):
    return "%s/%s-%d.sock" % (member["runDirectory"], role, epoch)


class Listeners:
    """A Unix socket: whoever connects hears everything that was and will be told, and may say lines."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.path = path
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(path)
        os.chmod(path, 0o600)
        self.server.listen(8)
        self.clients = {}
        self.met = False  # has anybody connected yet?
        self.told = b""
        self.turn = threading.Lock()  # one reads lines, another one may tell

    def tell(self, **fields):
        say(**fields)  # for the journal of this unit
        line = (to_json(fields) + "\n").encode()
        with self.turn:
            self.told += line
            for client in list(self.clients):
                self.write(client, line)

    def write(self, client, data):
        try:
            client.sendall(data)
        except OSError:
            self.clients.pop(client, None)  # closed as soon as nobody waits for it any more

    def lines(self, seconds, *others):
        """What was said within this time: (client, line), with None for one that left. Returns at once when one of
        `others` can be read."""
        readable, _, _ = select.select([self.server, *self.clients, *others], [], [], seconds)
        said = []
        with self.turn:
            for one in readable:
                if one is self.server:
                    client, _ = self.server.accept()
                    self.met = True
                    self.clients[client] = b""
                    self.write(client, self.told)
                elif one in self.clients:
                    said += self.read(one)
        return said

    def read(self, client):
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if data == b"":
            self.clients.pop(client, None)
            client.close()
            return [(client, None)]
        *whole, self.clients[client] = (self.clients[client] + data).split(b"\n")
        return [(client, line) for line in whole]

    def close(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.server.close()
        for client in self.clients:
            client.close()
