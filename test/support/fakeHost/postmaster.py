"""A postmaster, as far as the host helper can tell: its process, its pid file, its control file, and what signals do.
Its argument is the data directory. Files that a test lays in FAKE_ROOT change it: `hangs` (a fast stop never ends),
`lingers` (it is shut down, but its process stays), `unpromotable` (it takes no notice)."""

import os
import signal
import struct
import sys

SHUT_DOWN, SHUT_DOWN_IN_RECOVERY, IN_ARCHIVE_RECOVERY, IN_PRODUCTION = 1, 2, 5, 6
STATE_OFFSET, TIMELINE_OFFSET = 16, 48

root, data = os.environ["FAKE_ROOT"], sys.argv[1]


def in_root(name):
    return os.path.join(root, name)


def in_data(*names):
    return os.path.join(data, *names)


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


control = os.open(in_data("global", "pg_control"), os.O_RDWR)


def put(offset, value):
    os.pwrite(control, struct.pack("=I", value), offset)


def promote():
    (timeline,) = struct.unpack("=I", os.pread(control, 4, TIMELINE_OFFSET))
    write(in_data("pg_wal", "%08X.history" % (timeline + 1)), "")
    os.unlink(in_data("promote"))
    os.unlink(in_data("standby.signal"))
    put(TIMELINE_OFFSET, timeline + 1)
    put(STATE_OFFSET, IN_PRODUCTION)


heard = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, heard)
in_recovery = os.path.exists(in_data("standby.signal"))
put(STATE_OFFSET, IN_ARCHIVE_RECOVERY if in_recovery else IN_PRODUCTION)
write(in_data("postmaster.pid"), "%d\n%s\n" % (os.getpid(), data))
write(in_root("postmaster"), str(os.getpid()))

while True:
    received = signal.sigwait(heard)
    if received == signal.SIGHUP:
        write(in_root("reloaded"), "")
    elif received == signal.SIGUSR1:
        if in_recovery and os.path.exists(in_data("promote")) and not os.path.exists(in_root("unpromotable")):
            promote()
            in_recovery = False
    elif received == signal.SIGINT:
        if os.path.exists(in_root("hangs")):
            continue
        put(STATE_OFFSET, SHUT_DOWN_IN_RECOVERY if in_recovery else SHUT_DOWN)
        if not os.path.exists(in_root("lingers")):
            break
    else:
        break

os.unlink(in_root("postmaster"))
os.unlink(in_data("postmaster.pid"))
