# --- rejoin: a member that no longer follows the primary comes back

READ_WAL_LIMIT_SECONDS = 600


def is_wal_file(name):
    return len(name) == 24 and all(c in "0123456789ABCDEF" for c in name)


def wal_files(directory):
    try:
        return sorted(name for name in os.listdir(os.path.join(directory, "pg_wal")) if is_wal_file(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def beside_of(directory):
    return directory + ".pgha-clone"


def replaced_of(directory):
    return directory + ".pgha-old"


def own_directories(arguments):
    return [arguments[name] for name in ("dataDirectory", "walDirectory") if arguments[name] != ""]


def size_bytes(directories):
    """0 where counting takes too long: whoever asks then has to find room elsewhere."""
    found = [path for path in directories if os.path.isdir(path)]
    try:
        _, text = run(["du", "-skx", *found], 20) if found else (0, "")
    except subprocess.TimeoutExpired:
        return 0
    return sum(int(line.split()[0]) * 1024 for line in text.splitlines())


def is_busy(path):
    if not os.path.exists(path):
        return False
    descriptor = take_work(path, 0)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def control_fields(programs, directory):
    """pg_controldata's lines by label; empty where there is no pg_control that can be read."""
    code, text = run([os.path.join(programs, "pg_controldata"), "-D", directory], 10)
    if code != 0:
        return {}
    return {label: value.strip() for label, _, value in (line.partition(":") for line in text.splitlines())}


def stray(arguments):
    """Everything that decides how the member returns. Reads only."""
    directory = arguments["dataDirectory"]
    own = own_directories(arguments)
    can_swap = not any(os.path.ismount(path) for path in own)
    facts = {
        "busy": is_busy(arguments["work"]),
        "besideBytes": free_bytes(os.path.dirname(directory)) + size_bytes([beside_of(directory)]) if can_swap else None,
        "dataBytes": size_bytes(own),
        "keptBytes": free_bytes(arguments["kept"]),
        "neverStarted": os.path.exists(os.path.join(directory, "backup_label")),
    }
    control = control_fields(arguments["programs"], directory)
    files = wal_files(directory)
    timelines = [int(name[:8], 16) for name in files]
    for label in ("Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline"):
        timelines.append(int(control.get(label, "0")))
    # PostgreSQL that runs knows the end of its WAL itself, and may be writing meanwhile.
    timeline = arguments["timeline"] or max(timelines)
    history = os.path.join(directory, "pg_wal", "%08X.history" % timeline)
    line, size = None if arguments["timeline"] else last_record(arguments, files, timeline), arguments["segmentBytes"]
    partial_to = partial_record_to(directory, timeline, dumped_record_end(line, size), size)
    say(
        timeline=timeline,
        history="" if timeline == 1 else read_text(history),
        oldestFile=min((name[8:] for name in files), default=None),
        lastRecord=line,
        partialTo=None if partial_to is None else lsn_text(partial_to),
        redoLsn=control.get("Latest checkpoint's REDO location"),
        minRecoveryLsn=control.get("Minimum recovery ending location"),
        canBeRewound=control.get("Data page checksum version", "0") != "0"
        or control.get("wal_log_hints setting") == "on",
        **facts,
    )


def last_record(arguments, files, timeline):
    """pg_waldump's line for the last whole record. From the newest file down: files that were only prepared hold none."""
    path = os.path.join(arguments["dataDirectory"], "pg_wal")
    for name in reversed([name for name in files if int(name[:8], 16) == timeline]):
        start = "%X/%X" % (int(name[8:16], 16), int(name[16:], 16) * arguments["segmentBytes"])
        line = last_line(waldump(arguments, path, timeline, start, None))
        if line != "":
            return line
    return None


def waldump(arguments, path, timeline, start, end):
    program = os.path.join(arguments["programs"], "pg_waldump")
    argv = [program, "--path", path, "--timeline", str(timeline), "--start", start]
    return argv if end is None else argv + ["--end", end, "--rmgr", "Transaction"]


def through(argv, reader):
    """What `reader` makes of a program's output, which may be long. Reading WAL always ends with an error: at its end."""
    environment = dict(os.environ, LC_ALL="C")
    dump = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        with dump.stdout:
            limit = READ_WAL_LIMIT_SECONDS
            done = subprocess.run(reader, stdin=dump.stdout, stdout=subprocess.PIPE, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        sys.exit("%s: found no end within %d s" % (" ".join(argv), limit))
    finally:
        dump.kill()
        dump.wait()
    return done.stdout.decode("utf-8", "replace")


def last_line(argv):
    return through(argv, ["tail", "-n", "1"]).strip()


def commits(arguments):
    say(transactions=count_commits(arguments))


def count_commits(arguments):
    """How many transactions were committed in these pieces of WAL; None where the first file of them is gone."""
    path = os.path.join(arguments["dataDirectory"], "pg_wal")
    if not os.path.exists(os.path.join(path, arguments["firstFile"])):
        return None
    count = 0
    for piece in arguments["pieces"]:
        timeline, start, end = piece.split(" ")
        count += int(through(waldump(arguments, path, timeline, start, end), ["grep", "-c", "desc: COMMIT"]))
    return count


def keep(arguments):
    reason = keep_aside(arguments)
    say(**({"result": "kept"} if reason is None else {"result": "refused", "reason": reason}))


def keep_aside(arguments):
    """Copies WAL files out of the data directory before they are rewound or cloned away. Complete under its name, or not there:
    then why."""
    source = os.path.join(arguments["dataDirectory"], "pg_wal")
    target = arguments["target"]
    if os.path.isdir(target):
        return None
    partial = target + ".new"
    run(["rm", "-rf", "--", partial], 60)
    os.makedirs(partial, 0o750)
    ranges = [piece.split(" ") for piece in arguments["files"]]
    names = [name for name in wal_files(arguments["dataDirectory"]) if any(a <= name <= z for a, z in ranges)]
    names += [name for name in os.listdir(source) if name.endswith(".history")]
    group = pwd.getpwnam(arguments["user"]).pw_gid
    for name in names:
        code, _ = run(["cp", "--", os.path.join(source, name), os.path.join(partial, name)], 600)
        if code != 0:
            return "%s could not be copied to %s" % (name, partial)
    write_durably(os.path.join(partial, "README"), arguments["readme"])
    for name in os.listdir(partial):
        with open(os.path.join(partial, name), "rb") as file:
            os.fsync(file.fileno())
            os.fchown(file.fileno(), 0, group)
            os.fchmod(file.fileno(), 0o640)
    for path in (os.path.dirname(target), partial):
        os.chown(path, 0, group)
        os.chmod(path, 0o750)
    fsync_directory(partial)
    os.rename(partial, target)
    fsync_directory(os.path.dirname(target))
    return None


def completed_marker(arguments, *states):
    marker = read_marker(arguments["marker"])
    if marker.get("state") not in states:
        raise Refused("%s says %s" % (arguments["marker"], marker.get("state", "nothing")))
    return marker


def begin_marked(arguments, marker, **changes):
    """From here on the data is not what it was: only under the hold of the one who asked, who may have slept since."""
    with guarded(arguments["lock"]):
        refuse_overtaken(arguments)
        put_marker(arguments, marker, **changes)


def put_marker(arguments, marker, **changes):
    """`None` takes a field away."""
    fields = dict(marker, **changes)
    text = to_json({name: value for name, value in fields.items() if value is not None})
    write_durably(arguments["marker"], text + "\n")


def as_piece(arguments, act, result):
    """Does `act` alone on the member's data, and answers."""
    try:
        with alone_on_data(arguments, 15):
            act()
    except Refused as refusal:
        say(result="refused", reason=str(refusal))
    else:
        say(result=result)


# --- rewind

CLEAN_STATES = ("shut down", "shut down in recovery")


def rewind(arguments):
    say(**rewound(arguments))


def rewound(arguments):
    """From the marker `rewinding` until the data is whole again as one piece, which goes on when the one who asked is gone:
    he cannot leave it half done. `impossible`: nothing was changed; `broken off`: only a clone makes the data whole."""
    try:
        with alone_on_data(arguments, 0):
            refuse_running(arguments)
            marker = completed_marker(arguments, "ready")
            return rewind_data(arguments, marker)
    except Refused as refusal:
        return {"result": "refused", "reason": str(refusal)}


def rewind_data(arguments, marker):
    directory = arguments["dataDirectory"]
    signal = os.path.join(directory, "standby.signal")
    rewinder = [os.path.join(arguments["programs"], "pg_rewind"), "--target-pgdata", directory]
    rewinder += ["--source-server", arguments["source"], "--config-file", arguments["config"]]
    ends = time.monotonic() + arguments["limitSeconds"]
    with open(arguments["log"], "wb") as log:
        if control_fields(arguments["programs"], directory).get("Database cluster state") not in CLEAN_STATES:
            if os.path.exists(signal):
                raise Refused("it is a standby that was not stopped cleanly")
            # What pg_rewind would do itself: the end of its own WAL has to be known before it is left.
            server = [os.path.join(arguments["programs"], "postgres"), "--single", "-D", directory]
            if as_user(arguments, server + ["-c", "config_file=" + arguments["config"], "template1"], log, ends) != 0:
                return {"result": "impossible", "reason": last_words(arguments)}
        if as_user(arguments, rewinder + ["--dry-run"], log, ends) != 0:
            return {"result": "impossible", "reason": last_words(arguments)}
        begin_marked(arguments, marker, state="rewinding")
        try:
            refuse_running(arguments)  # From the marker on nobody starts it; somebody may have just before.
        except Refused:
            put_marker(arguments, marker)
            raise
        if as_user(arguments, rewinder, log, ends) != 0:
            return {"result": "broken off", "reason": last_words(arguments)}
    with guarded(arguments["lock"]):
        # Only what is still marked as being rewound becomes whole by this.
        completed_marker(arguments, "rewinding")
        become_standby(arguments, directory)
        put_marker(arguments, marker)
    return {"result": "rewound"}


def as_user(arguments, argv, log, ends):
    """Its exit code; 1 where it was ended because the time for all of it was over, which the log then says."""
    account = pwd.getpwnam(arguments["user"])
    environment = {
        "LC_ALL": "C",
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "PGPASSFILE": arguments["passfile"],
        "PGCONNECT_TIMEOUT": "10",
    }
    as_account = {} if os.geteuid() == account.pw_uid else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",
            close_fds=False,
            timeout=max(0.0, ends - time.monotonic()),
            **as_account,
        ).returncode
    except subprocess.TimeoutExpired:
        words = (os.path.basename(argv[0]), arguments["limitSeconds"])
        log.write(("error: %s was ended: all of it may take %g s\n" % words).encode())
        log.flush()
        return 1


def last_words(arguments):
    lines = [line for line in (read_text(arguments["log"]) or "").splitlines() if line.strip() != ""]
    wrong = [line for line in lines if "error:" in line or "FATAL:" in line or "PANIC:" in line]
    return (wrong or lines or ["it said nothing"])[-1]


def become_standby(arguments, directory):
    """The next start is as a standby, and with nothing that ALTER SYSTEM set where the data came from."""
    account = pwd.getpwnam(arguments["user"])
    for name in ("standby.signal", "postgresql.auto.conf"):
        descriptor = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchown(descriptor, account.pw_uid, account.pw_gid)
        os.fsync(descriptor)
        os.close(descriptor)
    fsync_directory(directory)
