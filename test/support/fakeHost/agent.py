"""Runs the host helper on a pretended host: /etc and the boot id are that host's, the pauses between two tries are short,
and what must happen in order is written down in `trace`: programs started, signals sent, files made durable, and
each time that it listens or waits. `clock-ahead`: by how many seconds its boot clock is ahead; `late-after`: which file is
to be made durable before that happens, as if the host had stood still meanwhile.
`evaluate` instead calls its functions with literal arguments, one call a line."""

import ast
import os
import signal
import subprocess
import sys
import time

root = os.environ["FAKE_ROOT"]
sys.path.insert(0, os.environ["FAKE_HELPER"])
import pgha  # noqa: E402


def trace(*words):
    with open(os.path.join(root, "trace"), "a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")


class TracedProcess(subprocess.Popen):
    def __init__(self, argv, **options):
        trace("run", *argv)
        super().__init__(argv, **options)


def traced(name, word, shown):
    real = getattr(os, name)

    def act(*arguments):
        trace(word, shown(*arguments))
        return real(*arguments)

    setattr(os, name, act)


subprocess.Popen = TracedProcess
def name_of(descriptor):
    return os.path.basename(os.readlink("/proc/self/fd/%d" % descriptor))


fsync = os.fsync


def slow_fsync(descriptor):
    fsync(descriptor)
    late_after = os.path.join(root, "late-after")
    if pgha.read_text(late_after) == name_of(descriptor):
        os.rename(late_after, os.path.join(root, "clock-ahead.late"))
        with open(os.path.join(root, "clock-ahead"), "w", encoding="utf-8") as file:
            file.write("6")


os.fsync = slow_fsync
traced("fsync", "sync", name_of)
traced("rename", "rename", lambda _, path: os.path.basename(path))
traced("unlink", "unlink", os.path.basename)
traced("kill", "signal", lambda _, number: signal.Signals(number).name)
lines, sleep = pgha.Listeners.lines, time.sleep


def traced_lines(*arguments):
    trace("listens")
    return lines(*arguments)


def traced_sleep(seconds):
    if seconds == pgha.RETRY_SECONDS:
        trace("waits")
    sleep(seconds)


pgha.Listeners.lines = traced_lines
pgha.tell_neighbours = lambda address, nic: trace("announces", address, "on", nic)
time.sleep = traced_sleep

read_member = pgha.read_member
pgha.read_member = lambda path: read_member(path if path.startswith(root) else root + path)
pgha.boot_id = lambda: pgha.read_text(os.path.join(root, "boot_id")).strip()
boot_clock = pgha.boot_clock
pgha.boot_clock = lambda: boot_clock() + float(pgha.read_text(os.path.join(root, "clock-ahead")) or 0)
pgha.PROGRAM = __file__
pgha.RETRY_SECONDS = pgha.GATE_RETRY_SECONDS = 0.02
for constant, value in ast.literal_eval(os.environ["FAKE_CONSTANTS"]).items():
    if not hasattr(pgha, constant):
        sys.exit("%s is no constant of the helper" % constant)
    setattr(pgha, constant, value)


def of_text(function):
    return lambda hardware, address: function(bytes.fromhex(hardware.replace(":", "")), address)


# JSON has no bytes.
pgha.arp_announcement_of = of_text(pgha.arp_announcement)
pgha.neighbour_advertisement_of = of_text(pgha.neighbour_advertisement)

if sys.argv[1:] == ["evaluate"]:
    import json  # only here: every other run is to start quickly

    for line in sys.stdin:
        function, *arguments = json.loads(line)
        print(json.dumps(getattr(pgha, function)(*arguments), default=bytes.hex))
else:
    pgha.main(sys.argv[1:])
