# --- ticket: the right to promote, on the target; and what the old primary did, on its own host. Changed under the guard only.

# How soon a start has to come for which somebody has just proved the right.
ONCE_SECONDS = 30


def read_ticket(member):
    """armed: this member waits for the ticket of that epoch. consumed: only forward. promoted: that is done. revoked: never
    of that epoch or a lower one. The epoch only grows, and the file stays. `timeline`: that of the old primary."""
    return {"epoch": 0, "boot": "", "state": "none", "timeline": 0, **read_record(member["ticket"])}


def write_ticket(member, epoch, state, timeline):
    record = {"epoch": epoch, "boot": boot_id(), "state": state, "timeline": timeline}
    write_durably(member["ticket"], to_json(record))


def may_consume(ticket, lock, epoch, boot, age_seconds):
    """The whole right to promote: armed for it, in this boot, under the living lock of its epoch, and not too late."""
    armed = ticket["state"] == "armed" and ticket["epoch"] == epoch and ticket["boot"] == boot
    return armed and lock["alive"] and lock["epoch"] == epoch and age_seconds < TICKET_LIFE_SECONDS


def after_revocation(ticket, epoch, timeline, own_timeline, is_standby):
    """What is said to one who wants the ticket of this epoch taken away. Only `revoked` lets the old primary come back."""
    if ticket["epoch"] == epoch and ticket["state"] in ("consumed", "promoted"):
        return ticket["state"]
    # Later handovers, or a promotion by hand: whoever asks about an old one has been left behind.
    if ticket["epoch"] > epoch or own_timeline > timeline or not is_standby:
        return "overtaken"
    return "revoked"


TICKET_LIFE_SECONDS = 5


def revoke(member, epoch, timeline):
    """Takes the ticket of this epoch away for ever, or says why the old primary must not come back."""
    with guarded(member["lock"]):
        ticket = read_ticket(member)
        own = control_data(member["programs"], member["dataDirectory"])
        if own is None:
            return "unreadable"
        outcome = after_revocation(ticket, epoch, timeline, own["timeline"], is_marked_standby(member))
        if outcome == "revoked":
            write_ticket(member, epoch, "revoked", timeline)
        return outcome


def read_switch(member):
    """armed: ready to stop the primary. stopping: the ticket may have been sent; `under`: epoch of the orchestrator that
    took the ticket away and brings the primary back. restored, followed: ended."""
    return {"epoch": 0, "boot": "", "state": "none", **read_record(member["switch"])}


def write_switch(member, epoch, state, **more):
    write_durably(member["switch"], to_json({"epoch": epoch, "boot": boot_id(), "state": state, **more}))


def switch_is(member, epoch, state):
    switch = read_switch(member)
    return switch["epoch"] == epoch and switch["state"] == state


def write_pass(member, once=False):
    """A right to start as primary was proved in this boot: a postmaster that dies is started again by systemd without
    asking. `once`: nor needs the next start, whoever orders it, if it comes soon; an order that never came is no licence."""
    write_durably(member["pass"], boot_id() + (" once %d" % (boot_clock() + ONCE_SECONDS) if once else "") + "\n")


def renew_pass(member):
    """For a start that was decided in this boot, and that the death of who decided it has cut off."""
    if (read_text(member["pass"]) or "").split()[:1] == [boot_id()]:
        write_pass(member, once=True)


# The shutdown checkpoint record: where it ends tells whether a standby has the whole of it.

RECORD_BYTES = 114  # xl_tot_len in PostgreSQL 15 to 18: header 24, data header 2, CheckPoint 88
PAGE_BYTES = 8192
PAGE_HEADER_BYTES = 24
SEGMENT_HEADER_BYTES = 40


def checkpoint_end(start, segment_bytes):
    return record_end(start, RECORD_BYTES, segment_bytes)


def record_end(start, length, segment_bytes):
    """The first position after the record that begins at `start`. One that crosses a page boundary is interrupted by that
    page's header (src/include/access/xlog_internal.h), and records end 8-byte aligned."""
    position, left = start, length
    while True:
        taken = min(PAGE_BYTES - position % PAGE_BYTES, left)
        position += taken
        left -= taken
        if left == 0:
            return (position + 7) // 8 * 8
        position += SEGMENT_HEADER_BYTES if position % segment_bytes == 0 else PAGE_HEADER_BYTES
