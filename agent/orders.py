# --- orders: what an orchestrator has done on a host, under its lock


def guard(arguments):
    """Where the role was changed for the time of a handover: back to the steady state when its orchestrator is gone."""
    member, epoch = read_member(arguments["member"]), arguments["epoch"]
    while is_held(member["lock"], epoch):
        time.sleep(RETRY_SECONDS)
    with guarded(member["lock"]):
        if lock_state(member["lock"])["epoch"] == epoch:
            lay_role(member, arguments["role"])


def back(arguments):
    """An orchestrator that holds the cluster, and has taken the ticket away, lets the old primary come back; the rest is
    done here even if he dies."""
    member, journal = read_member(arguments["member"]), arguments["journal"]
    listeners = Listeners(socket_path(member, "back", arguments["epoch"]))
    listeners.tell(event="armed")
    listeners.lines(2)  # whoever ordered it connects, and hears so, before the work begins
    epoch = arguments["epoch"]
    if take_over(member, journal, epoch) and restore(member, journal, arguments["limitSeconds"], epoch):
        listeners.tell(event="restored")
    elif journal_epoch(member) == journal and switch_is(member, journal, "restored"):
        renew_pass(member)
        start_unit(member["unit"])
        listeners.tell(event="restored")
    else:
        listeners.tell(event="refused", reason="it did not stop in time, or the cluster was taken over")
    linger(listeners)
    listeners.close()


def take_over(member, journal, epoch):
    """From `give`, and only under the living lock of this epoch; but what was begun under it goes on when this process has
    died, and its orchestrator as well."""
    with guarded(member["lock"]):
        switch = read_switch(member)
        if switch["epoch"] == journal and switch.get("under") == epoch:
            return True
        if switch["epoch"] > journal or not is_held(member["lock"], epoch):
            return False
        stop_give(member, journal)
        if not switch_is(member, journal, "restored"):
            write_switch(member, journal, "stopping", under=epoch)
        return True


def give_way(arguments):
    """An orchestrator that holds the cluster says that the target is primary for good: this member will follow. Its unit,
    which may still be asking the target, must not go on beside him."""
    member, journal = read_member(arguments["member"]), arguments["journal"]

    def followed():
        stop_give(member, journal)
        leave_addresses(member, [])
        mark_standby(member)
        if read_switch(member)["epoch"] == journal:
            write_switch(member, journal, "followed")

    if while_held(arguments, followed):
        say(result="follows")


def stop_give(member, epoch):
    run(["systemctl", "stop", "%s-give-%d.service" % (member["unit"][: -len(".service")], epoch)], 20)


def drive(arguments):
    """Starts one of the units above on this host; then standard input and output speak with it."""
    member, role, epoch = read_member(arguments["member"]), arguments["role"], arguments["epoch"]
    name = "%s-%s-%d" % (member["unit"][: -len(".service")], role, epoch)
    command = ["systemd-run", "--quiet", "--collect", "--unit=" + name, "--property=Restart=on-failure"]
    command += ["--property=RestartSec=200ms", "--property=StartLimitIntervalSec=0"]
    command += ["/usr/bin/python3", "-u", PROGRAM, role, to_json(arguments["arguments"])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    if done.returncode != 0:
        say(event="refused", reason="%s did not start: %s" % (name, done.stdout.decode("utf-8", "replace").strip()))
        return
    if role == "guard":
        say(event="armed")
        return
    path, deadline = socket_path(member, role, epoch), time.monotonic() + 15
    while True:
        try:
            connection = connect_unix(path)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                say(event="refused", reason="%s does not listen at %s (%s)" % (name, path, error.strerror))
                return
            time.sleep(0.01)
    relay(connection)


def next_start(arguments):
    """As what the member starts the next time. As a primary only while it is one: since that was seen it may have been
    stopped, and another one promoted."""
    member, role = read_member(arguments["member"]), arguments["role"]
    result = role

    def change():
        nonlocal result
        if role == "standby":
            mark_standby(member)
        elif is_primary(member):
            unmark_standby(member)
        else:
            result = "not primary"

    if while_held(arguments, change):
        say(result=result)


def stop_member(arguments):
    """Through systemd, so that Restart= does not undo it. Ordered only under the hold of the one who asks: since he saw it
    as a standby he may have slept, and it may be the primary now. Waited for without the guard, so that holds are renewed
    meanwhile. `forGood`: nor does it start at the next boot."""
    unit = arguments["unit"]

    def order():
        if unit_state(unit)[0] == "absent":
            return
        if arguments["forGood"]:
            code, _ = run(["systemctl", "disable", unit], 20)
            if code != 0:
                sys.exit("systemctl disable %s: found exit code %d, expected 0" % (unit, code))
        stop_unit(unit)

    if not while_held(arguments, order):
        return
    deadline = time.monotonic() + arguments["limitSeconds"]
    while unit_state(unit)[0] not in AT_REST:
        if not is_held(arguments["lock"], arguments["epoch"]):
            say(result="lock lost", **lock_state(arguments["lock"]))  # Whoever took it over may have started it.
            return
        if time.monotonic() > deadline:
            say(result="still runs")
            return
        time.sleep(0.05)
    say(result="stopped")


def write_marker(arguments):
    """How far the member's data is: what decides whether it may be started, or removed."""

    def write():
        if arguments["standby"]:
            mark_standby(arguments)
        write_durably(arguments["marker"], arguments["text"])

    if while_held(arguments, write):
        say(result="written")
