# --- service: stopping, starting and promoting the member on this host

HUNG_STOP_SECONDS = 15


def stop_unit(unit):
    run(["systemctl", "stop", "--no-block", unit], 10)


def start_unit(unit):
    run(["systemctl", "reset-failed", unit], 10)
    run(["systemctl", "start", "--no-block", unit], 10)


def wait_until_stopped(member, limit_seconds, patience_seconds=0.0):
    """False when it did not stop in time. A postmaster that lingers after `shut down`, for a standby that does not answer,
    is not waited for longer than the patience; before that, quitting is a crash, which empties unlogged tables: only a
    stop that hangs is ended so."""
    unit = member["unit"]
    descriptor = open_control(member["dataDirectory"])
    began = time.monotonic()
    quit_at = began + patience_seconds
    # Asking systemd costs a process each time: it is asked once nobody runs any more.
    while postmaster_pid(member) is not None or unit_state(unit)[0] not in ("inactive", "failed"):
        now = time.monotonic()
        if now - began > limit_seconds:
            return False
        if now >= quit_at and (read_control(descriptor)[1] == SHUT_DOWN or now - began > HUNG_STOP_SECONDS):
            run(["systemctl", "kill", "--kill-who=main", "--signal=SIGQUIT", unit], 10)
            quit_at = now + 5
        time.sleep(0.01)
    return True


def mark_standby(member):
    """Durable: after a power cut this host must come back as a standby."""
    directory = member["dataDirectory"]
    owner = os.stat(directory)
    created = os.open(os.path.join(directory, "standby.signal"), os.O_WRONLY | os.O_CREAT, 0o600)
    os.fchown(created, owner.st_uid, owner.st_gid)
    os.fsync(created)
    os.close(created)
    fsync_directory(directory)


def unmark_standby(member):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(member["dataDirectory"], "standby.signal"))
    fsync_directory(member["dataDirectory"])


def is_marked_standby(member):
    return os.path.exists(os.path.join(member["dataDirectory"], "standby.signal"))


def postmaster_pid(member):
    text = read_text(os.path.join(member["dataDirectory"], "postmaster.pid"))
    pid = int(text.split("\n")[0]) if text else 0
    command = read_text("/proc/%d/cmdline" % pid) if pid > 0 else None
    return pid if command and member["dataDirectory"] in command else None


def is_primary(member):
    return postmaster_pid(member) is not None and read_control(open_control(member["dataDirectory"]))[1] == IN_PRODUCTION


def promote(member):
    """As pg_promote() does it: a file, and a signal."""
    pid = postmaster_pid(member)
    if pid is None:
        return False
    directory = member["dataDirectory"]
    owner = os.stat(directory)
    created = os.open(os.path.join(directory, "promote"), os.O_WRONLY | os.O_CREAT, 0o600)
    os.fchown(created, owner.st_uid, owner.st_gid)
    os.close(created)
    os.kill(pid, signal.SIGUSR1)
    return True


def wait_until_in_production(member, limit_seconds):
    descriptor = open_control(member["dataDirectory"])
    deadline = time.monotonic() + limit_seconds
    while read_control(descriptor)[1] != IN_PRODUCTION:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return True


def end_laggards(member, spared):
    """A fast stop waits for every wal sender: those that keep it waiting are ended, the target's is not."""
    parent = postmaster_pid(member)
    for entry in os.listdir("/proc") if parent else []:
        stat = read_text("/proc/%s/stat" % entry) if entry.isdigit() else None
        if stat is None or int(stat.rsplit(")", 1)[1].split()[1]) != parent:
            continue
        title = (read_text("/proc/%s/cmdline" % entry) or "").replace("\0", " ")
        if " walsender " in title and " %s(" % spared not in title:
            os.kill(int(entry), signal.SIGTERM)


def lay_role(member, text):
    """The role file as the steady state has it, with the owner and mode that it has; PostgreSQL reads it if it runs."""
    path = member["roleConf"]
    if read_text(path) != text:
        write_durably(path, text, os.stat(path))
    reload_member(member)


def forget_relaxed(member):
    """From here on commits wait for standbys: on a standby, from its promotion on."""
    path = member["relax"]["file"]
    with guarded(member["lock"]):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            fsync_directory(os.path.dirname(path))
        reload_member(member)


def reload_member(member):
    pid = postmaster_pid(member)
    if pid is not None:
        os.kill(pid, signal.SIGHUP)


class Sql:
    """One session as postgres over the member's own socket."""

    def __init__(self, member):
        self.member = member
        self.backend = 0
        self.open()

    def open(self):
        member = self.member
        options = ["-X", "-q", "-A", "-t", "-U", "postgres", "-d", "postgres", "-p", str(member["port"])]
        self.process = subprocess.Popen(
            [os.path.join(member["programs"], "psql"), *options, "-h", member["socketDirectory"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ, PGAPPNAME="pgha", PGCONNECT_TIMEOUT="5"),
        )

    def send(self, statement):
        try:
            self.process.stdin.write((statement + ";\n").encode())
            self.process.stdin.flush()
        except OSError:
            pass  # Its end is seen at the next answer.

    def answer(self, seconds):
        """The first line of the next result; None when the session ended or said nothing in time."""
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if readable else b""
        return line.decode().strip() if line else None

    def ask(self, statement, seconds):
        self.send(statement)
        return self.answer(seconds)

    def connects(self, seconds):
        """True once the server answers; from then on `lives` can tell."""
        self.backend = int(self.ask("select pg_backend_pid()", seconds) or 0)
        if self.backend == 0:
            self.close()  # an answer that comes late would be taken for that of the next question
        return self.backend > 0

    def lives(self):
        """The server's process for this session is there: psql may outlive it without a word."""
        return self.backend > 0 and os.path.exists("/proc/%d" % self.backend)

    def close(self):
        self.process.kill()
        self.process.wait()
