# --- data: what may be removed from a member's directories


def put_token(descriptor, token):
    try:
        os.setxattr(descriptor, TOKEN, token.encode())
    except OSError as error:
        # Without it nothing is ever removed there, which is told when it matters.
        if error.errno != errno.ENOTSUP:
            raise
    os.fsync(descriptor)


class Refused(Exception):
    """Nothing was touched."""


class Overtaken(Refused):
    """The one who asked no longer holds the cluster."""


def take_work(path, seconds):
    """The lock of a rewind, clone or removal, which lives as long as that works; None when one does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    if locked_within(descriptor, seconds, 0.1):
        return descriptor
    os.close(descriptor)
    return None


def refuse_overtaken(arguments):
    """An order that comes late, from one who slept, must not end what the next one does here."""
    if not is_held(arguments["lock"], arguments["epoch"]):
        raise Overtaken("the cluster is no longer held by the one who asked")


@contextlib.contextmanager
def alone_on_data(arguments, patience_seconds):
    """No earlier rewind, clone or removal works on the member's data any more, and none begins meanwhile. Begun only under the
    hold of the one who asked."""
    work = take_work(arguments["work"], patience_seconds)
    if work is None:
        raise Refused("an earlier rewind, clone or removal still works on it")
    try:
        with guarded(arguments["lock"]):
            refuse_overtaken(arguments)
            end_earlier(arguments["dataUnit"])
        yield
    finally:
        os.close(work)


def end_earlier(unit):
    """What an earlier beginning started may still write, though whoever started it is gone and lost the lock."""
    run(["systemctl", "stop", unit], 30)
    active, _ = unit_state(unit)
    if active not in AT_REST:
        raise Refused("%s of an earlier run is %s" % (unit, active))


def refuse_running(arguments):
    active, _ = unit_state(arguments["unit"])
    if active not in AT_REST:
        raise Refused("%s is %s" % (arguments["unit"], active))


def clear(arguments):
    """Marks the member's data with a state and empties its directories: decided under this host's lock, because the one who
    asks may have slept since he looked, and while nobody else works on it: a rewind goes on when the one who asked is gone.
    What is removed carries our token; or, to be erased, is the database of the system identifier. What runs, is finished, or
    is of others stays."""
    opened = {}
    try:
        with alone_on_data(arguments, 0):
            with guarded(arguments["lock"]):
                refuse_overtaken(arguments)
                begin(arguments, opened)
            for descriptor in opened.values():
                remove_content(descriptor, os.fstat(descriptor).st_dev)
        say(result="cleared")
    except Overtaken:
        say(result="lock lost", **lock_state(arguments["lock"]))
    except Refused as refusal:
        say(result="refused", reason=str(refusal))
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def begin(arguments, opened):
    erasing = arguments["state"] == "erasing"
    marker = read_marker(arguments["marker"])
    state = marker.get("state")
    finished = state in ("ready", "rewinding", "swapping")
    if finished and not erasing:
        raise Refused("%s says that it is %s" % (arguments["marker"], state))
    refuse_running(arguments)
    for name in ("dataDirectory", "walDirectory"):
        path = arguments[name]
        if path != "" and (os.path.lexists(path) or not erasing):
            opened[path] = open_directory(path, arguments["user"])
    # From here on by descriptor: what is mounted over a directory meanwhile is not touched.
    erasable = system_directories(arguments, opened) if finished else ()
    for path, descriptor in opened.items():
        refuse_others(path, descriptor, marker.get("token"), path in erasable)
    token = marker.get("token") or arguments["token"]
    for descriptor in opened.values():
        put_token(descriptor, token)
    fields = {name: arguments[name] for name in ("cluster", "member", "state", "dataDirectory")}
    write_durably(arguments["marker"], to_json(dict(fields, token=token)) + "\n")


def erased(arguments):
    """The last of an erasure: the files beside the data, then the marker, which until then lets the next one finish it. What
    was begun anew there meanwhile, by somebody else, is not forgotten."""

    def forget():
        state = read_marker(arguments["marker"]).get("state")
        if state != "erasing":
            raise Refused("%s says %s" % (arguments["marker"], state or "nothing"))
        for path in arguments["files"] + [arguments["marker"]]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                fsync_directory(os.path.dirname(path))

    try:
        if while_held(arguments, forget):
            say(result="erased")
    except Refused as refusal:
        say(result="refused", reason=str(refusal))


def read_marker(path):
    text = read_text(path)
    try:
        marker = ast.literal_eval(text) if text else {}
    except (SyntaxError, ValueError):
        marker = None
    if not isinstance(marker, dict):
        raise Refused("%s is damaged" % path)
    return marker


def open_directory(path, user):
    if not os.path.lexists(path):
        make_directory(path, user)
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Refused("%s: %s" % (path, error.strerror)) from error


def make_directory(path, user):
    """As the one who will write there: where he may not, a volume is missing under it."""
    account = pwd.getpwnam(user)
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise Refused("%s cannot be made by %s: %s" % (path, user, error.strerror)) from error
    finally:
        os.seteuid(os.getuid())
        os.setegid(os.getgid())


def system_directories(arguments, opened):
    """The directories of the finished database that is to be erased: pg_control says that it is the one."""
    data, wal = arguments["dataDirectory"], arguments["walDirectory"]
    try:
        control = os.open("global/pg_control", os.O_RDONLY, dir_fd=opened[data])
    except (KeyError, OSError) as error:
        raise Refused("%s is marked ready, but holds no database" % data) from error
    try:
        identifier = str(read_control(control)[0])
    finally:
        os.close(control)
    if identifier != arguments["systemIdentifier"]:
        raise Refused("%s holds the database with system identifier %s" % (data, identifier))
    try:
        pg_wal = os.stat("pg_wal", dir_fd=opened[data])
    except FileNotFoundError:
        return (data,)
    leads_to_wal = wal in opened and os.path.samestat(pg_wal, os.fstat(opened[wal]))
    return (data, wal) if leads_to_wal else (data,)


def refuse_others(path, descriptor, token, erasable):
    if not os.listdir(descriptor):
        return
    if not erasable and (token is None or token_of(descriptor) != token):
        raise Refused("%s holds what pgha did not make" % path)
    inside = os.path.realpath(path) + "/"
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            mounted = line.split(" ")[4]
            if mounted.startswith(inside):
                raise Refused("a file system is mounted at %s" % mounted)


def remove_content(descriptor, device):
    with os.scandir(descriptor) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in names:
        if not is_directory:
            os.unlink(name, dir_fd=descriptor)
            continue
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        try:
            if os.fstat(inner).st_dev != device:
                raise OSError(errno.EXDEV, "another file system", name)
            remove_content(inner, device)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=descriptor)
