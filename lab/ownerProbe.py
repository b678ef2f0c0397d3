"""Asks again and again, from an interface of this machine, who has an IPv4 address.

ownerProbe.py INTERFACE ADDRESS INTERVAL_SECONDS LIMIT_SECONDS

One line for every question: milliseconds since 1970 at which it was asked, and the hardware addresses that answered it,
"-" when none did. Each question carries a number of its own as the sender's hardware address; an answer repeats it, so
that two owners are told from one that answers late. The question is that of a host that looks for a duplicate address
(RFC 5227): it leaves nothing behind in anybody's ARP table.
"""

import signal
import socket
import struct
import sys
import time

ARP = 0x0806
# How long an answer may take until its question is printed.
WAIT_SECONDS = 1.0
SOL_PACKET, ADD_MEMBERSHIP, PROMISCUOUS = 263, 1, 1


def question(own, number, address):
    sender = b"\x02\x50" + struct.pack("!I", number)
    ethernet = b"\xff" * 6 + own + struct.pack("!H", ARP)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + sender + bytes(4) + bytes(6) + address
    return ethernet + arp


def answer(frame, address):
    """Number of the question and hardware address of whoever answered it; None for any other frame."""
    if len(frame) < 42 or frame[20:22] != b"\x00\x02" or frame[28:32] != address or frame[32:34] != b"\x02\x50":
        return None
    return struct.unpack("!I", frame[34:38])[0], frame[22:28].hex(":")


def main():
    interface, text, interval, limit = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    address = socket.inet_aton(text)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
    wire.bind((interface, ARP))
    own = wire.getsockname()[4]
    # Answers go to the number, which is nobody's address.
    index = socket.if_nametoindex(interface)
    wire.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, struct.pack("IHH8s", index, PROMISCUOUS, 0, b""))
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    asked = {}  # number: (when it was asked, milliseconds since 1970, who answered)
    number = 0
    start = next_question = time.monotonic()

    def tell(before):
        for key in [key for key, (when, _, _) in asked.items() if when < before]:
            _, milliseconds, owners = asked.pop(key)
            print(f"{milliseconds:.0f} {','.join(sorted(owners)) or '-'}", flush=True)

    while not ended and time.monotonic() < start + limit:
        now = time.monotonic()
        if now >= next_question:
            number += 1
            asked[number] = (now, time.time() * 1000, set())
            wire.send(question(own, number, address))
            next_question = max(next_question + interval, now)
            tell(now - WAIT_SECONDS)
        wire.settimeout(max(0.0005, next_question - time.monotonic()))
        try:
            found = answer(wire.recv(2048), address)
        except (TimeoutError, InterruptedError):
            continue
        if found and found[0] in asked:
            asked[found[0]][2].add(found[1])
    tell(float("inf"))


main()
