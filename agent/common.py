"""What must be looked at or done on a host as one piece. The files of this folder are one program, joined in the order of
agent/program.ts: sent over the SSH connection at every use by an orchestrator, and laid on the host for what must happen
there without one (handover, boot gate, the channel between the hosts). Speaks lines of JSON. Needs only python3-minimal,
3.9 or later: Debian's minimal Python has no json module before 3.13, hence `to_json`, and literal_eval to read.

It holds no opinion about the cluster: who may be primary is decided elsewhere."""

import ast
import contextlib
import errno
import fcntl
import os
import pwd
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time


def to_json(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        escaped = "".join(
            c if " " <= c <= "~" and c not in '"\\' else "".join("\\u%04x" % u for u in utf16(c)) for c in value
        )
        return '"' + escaped + '"'
    if isinstance(value, dict):
        return "{" + ",".join(to_json(str(k)) + ":" + to_json(v) for k, v in value.items()) + "}"
    return "[" + ",".join(to_json(v) for v in value) + "]"


def report(severity, text):
    """To whoever called, and to the system's log, in which Pacemaker's own words stand."""
    print(text, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.sendto(("<%d>pgha: %s" % (24 + severity, text)).encode(), "/dev/log")


def utf16(character):
    data = character.encode("utf-16-be", "replace")
    return struct.unpack(">%dH" % (len(data) // 2), data)


def say(**fields):
    sys.stdout.write(to_json(fields) + "\n")
    sys.stdout.flush()


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def fsync_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path, text, like=None):
    """`like`: the os.stat of a file whose owner and mode the new one has; else root's alone."""
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if like is not None:
            os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, like.st_mode & 0o777)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    fsync_directory(os.path.dirname(path))


def run(argv, seconds):
    environment = dict(os.environ, LC_ALL="C")
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=seconds)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def read_record(path):
    """A file of one dictionary; nothing for a missing or damaged one: whoever reads it then does the careful thing."""
    text = read_text(path)
    try:
        record = ast.literal_eval(text) if text else None
    except (SyntaxError, ValueError):
        record = None
    return record if isinstance(record, dict) else {}


def read_member(path):
    """Paths, port and neighbours of a member: `member.json`, rendered from the declaration."""
    member = read_record(path)
    if "dataDirectory" not in member:
        sys.exit("%s: found no member's description, expected the one that pgha lays there. Run `pulumi up`." % path)
    return member


def node_of(peer):
    """As Corosync and Pacemaker call the host of another member."""
    return peer.get("node", peer["member"])


def boot_clock():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id():
    return (read_text("/proc/sys/kernel/random/boot_id") or "").strip()


SHUT_DOWN = 1  # DBState DB_SHUTDOWNED
IN_PRODUCTION = 6


def open_control(directory):
    return os.open(os.path.join(directory, "global", "pg_control"), os.O_RDONLY)


def read_control(descriptor):
    """system identifier, state, checkpoint LSN, timeline (ControlFileData, src/include/catalog/pg_control.h)"""
    while True:
        data = os.pread(descriptor, 64, 0)
        if data == os.pread(descriptor, 64, 0):
            (identifier,) = struct.unpack_from("=Q", data, 0)
            (state,) = struct.unpack_from("=I", data, 16)
            (checkpoint,) = struct.unpack_from("=Q", data, 32)
            (timeline,) = struct.unpack_from("=I", data, 48)
            return identifier, state, checkpoint, timeline


def lsn_text(position):
    return "%X/%X" % (position >> 32, position & 0xFFFFFFFF)
