# --- lock: one orchestrator at a time. Its life is measured on this host's boot clock, so no clock can be set wrong.

LOCK_LIFE_SECONDS = 30
# Longer than what is done under a guard: at most the end of a unit, which takes 30 s.
GUARD_LIMIT_SECONDS = 60


def read_lock(path):
    free = {"epoch": 0, "holder": "", "since": "", "renewed": 0.0, "boot": ""}
    lock = read_record(path)
    # A damaged file must not keep anybody from looking at the member.
    return lock if free.keys() <= lock.keys() else free


def lock_state(path):
    lock = read_lock(path)
    age = boot_clock() - lock["renewed"]
    alive = lock["holder"] != "" and lock["boot"] == boot_id() and age < LOCK_LIFE_SECONDS
    return {"epoch": lock["epoch"], "holder": lock["holder"], "since": lock["since"], "alive": alive}


@contextlib.contextmanager
def guarded(lock_path):
    """Nobody takes the lock, the ticket or the right to start this member meanwhile."""
    os.makedirs(os.path.dirname(lock_path), exist_ok=True)
    guard_path = lock_path + ".guard"
    guard = os.open(guard_path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locked_within(guard, GUARD_LIMIT_SECONDS, 0.005):
            words = (guard_path, GUARD_LIMIT_SECONDS)
            sys.exit("%s: waited %g s for whoever holds it; `fuser` on that file tells who" % words)
        if not is_file_at(guard, guard_path):
            sys.exit("%s: it was removed with its member meanwhile" % guard_path)
        yield
    finally:
        os.close(guard)


def is_file_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def locked_within(descriptor, seconds, pause_seconds):
    """The file's lock is ours; False when somebody else had it all the time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause_seconds)


def change_lock(arguments, holder, must_be_ours):
    """None once the lock names this holder, of this epoch; else what stands there."""
    path, epoch = arguments["path"], arguments["epoch"]
    with guarded(path):
        current = lock_state(path)
        # A hold that ran out is not revived: others may have acted on its end.
        if must_be_ours and (current["epoch"] != epoch or not current["alive"]):
            return current
        if not must_be_ours and (current["alive"] or current["epoch"] >= epoch):
            return current
        lock = {"epoch": epoch, "holder": holder, "since": arguments["since"], "renewed": boot_clock(), "boot": boot_id()}
        write_durably(path, to_json(lock))
        return None


def hold(arguments):
    """Takes the lock, then obeys lines: `renew`, `release`. End of input leaves it to run out."""
    refused = change_lock(arguments, arguments["holder"], False)
    if refused is not None:
        say(result="refused", **refused)
        return
    say(result="held")
    for line in sys.stdin:
        word = line.strip()
        refused = change_lock(arguments, "" if word == "release" else arguments["holder"], True)
        say(result="lost" if refused else word)
        if refused or word == "release":
            return


def is_held(lock_path, epoch):
    current = lock_state(lock_path)
    return current["alive"] and current["epoch"] == epoch


def while_held(arguments, act):
    """Does `act` only while this host's lock is alive and of our epoch; meanwhile nobody can take it over. A word that
    arrives late, from an orchestrator that was cut off or asleep, so does nothing."""
    with guarded(arguments["lock"]):
        if not is_held(arguments["lock"], arguments["epoch"]):
            say(result="lock lost", **lock_state(arguments["lock"]))
            return False
        act()
        return True


def write_journal(arguments):
    """Before a handover touches anything: whoever comes next has to know what was begun."""
    if while_held(arguments, lambda: write_durably(arguments["path"], arguments["text"])):
        say(result="written")


def write_given_up(arguments):
    """The target of this handover was taken out of the members: whoever finds it again later has to know, whatever has
    become of the old primary by then. A later handover's word stays."""
    path, epoch = arguments["path"], arguments["journal"]

    def write():
        if read_record(path).get("epoch", 0) < epoch:
            write_durably(path, to_json({"epoch": epoch}))

    if while_held(arguments, write):
        say(result="written")


def remove_journal(arguments):
    """Where it is of this epoch or older: one that somebody else began meanwhile is not ours to remove."""
    path = arguments["path"]

    def remove():
        if read_record(path).get("epoch", 0) <= arguments["journal"]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            fsync_directory(os.path.dirname(path))

    if while_held(arguments, remove):
        say(result="removed")


def forget(arguments):
    """Every record of a member that has no data any more, rights and epochs together: one that stayed would speak of a
    cluster that is gone, and the next one begins at 1. Not while somebody holds the member: he may be about to begin data,
    and his orders would meet an epoch that is gone, or another one's."""
    lock, directory = arguments["lock"], os.path.dirname(arguments["lock"])
    if not os.path.isdir(directory):
        say(result="forgotten")
        return
    with guarded(lock):
        current = lock_state(lock)
        if os.path.exists(arguments["marker"]):
            say(result="has data")
        elif current["alive"]:
            say(result="held", **current)
        else:
            for path in arguments["records"] + [lock, lock + ".guard"]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            fsync_directory(directory)
            say(result="forgotten")


def lay(arguments):
    """New programs take the place of old ones, and only while nobody holds a member of this host: what a handover starts
    must be what it began with. `files`: where each is to lie; what is to be there lies beside it, under `suffix`."""
    files, suffix = arguments["files"], arguments["suffix"]
    is_other = any(read_text(path) != read_text(path + suffix) for path in files)
    with contextlib.ExitStack() as guards:
        for path, cluster, member in locks_below(arguments["state"]) if is_other else []:
            guards.enter_context(guarded(path))
            current = lock_state(path)
            if current["alive"]:
                for beside in files:
                    os.unlink(beside + suffix)
                say(result="refused", cluster=cluster, member=member, holder=current["holder"], since=current["since"])
                return
        for path in files:
            os.rename(path + suffix, path)
            fsync_directory(os.path.dirname(path))
        say(result="laid")


def locks_below(state):
    """In one order for everybody, so that two who take all of them do not wait for each other."""
    names = [(cluster, member) for cluster in names_in(state) for member in names_in(os.path.join(state, cluster))]
    locks = [(os.path.join(state, cluster, member, "lock.json"), cluster, member) for cluster, member in names]
    return [lock for lock in locks if os.path.exists(lock[0])]


def names_in(directory):
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
