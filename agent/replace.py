# --- clone: made beside the data, and swapped in


def beside(arguments):
    """Empty directories for a clone beside the member's own, marked as ours."""

    def make():
        refuse_running(arguments)
        marker = completed_marker(arguments, "ready", "rewinding")
        token = marker.get("token") or arguments["token"]
        account = pwd.getpwnam(arguments["user"])
        replaced = replaced_copies(arguments, marker)
        opened = []
        try:
            for path in (beside_of(own) for own in own_directories(arguments)):
                if not os.path.lexists(path):
                    os.mkdir(path, 0o700)
                    os.chown(path, account.pw_uid, account.pw_gid)
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                opened.append(descriptor)
                refuse_others(path, descriptor, marker.get("token"), False)
            for descriptor in opened:
                put_token(descriptor, token)
            begin_marked(arguments, marker, token=token, beside=beside_of(arguments["dataDirectory"]))
            for path in replaced:
                remove_own(path, token)
            for descriptor in opened:
                remove_content(descriptor, os.fstat(descriptor).st_dev)
        finally:
            for descriptor in opened:
                os.close(descriptor)

    as_piece(arguments, make, "made")


def replaced_copies(arguments, marker):
    """What an earlier clone replaced, and nobody needs any more. Where a rewind left the data half changed, it may be the
    last whole copy here."""
    replaced = [replaced_of(own) for own in own_directories(arguments) if os.path.lexists(replaced_of(own))]
    if replaced and (marker["state"] != "ready" or "replaced" not in marker):
        raise Refused("%s is in the way" % replaced[0])
    return replaced


def swap(arguments):
    """Lets a finished clone take the place of the data, which stays beside it. Begun once, it can be ended at any time."""

    def exchange():
        refuse_running(arguments)
        marker = completed_marker(arguments, "ready", "rewinding", "swapping")
        own = own_directories(arguments)
        if marker["state"] != "swapping":
            if marker.get("beside") != beside_of(arguments["dataDirectory"]):
                raise Refused("no clone lies beside %s" % arguments["dataDirectory"])
            for path in own:
                if os.path.lexists(replaced_of(path)):
                    raise Refused("%s is in the way" % replaced_of(path))
            become_standby(arguments, beside_of(arguments["dataDirectory"]))
            for path in own:
                # What is replaced may be removed later, by the same token.
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                put_token(descriptor, marker["token"])
                os.close(descriptor)
            begin_marked(arguments, marker, state="swapping")
        for path in own:
            if os.path.lexists(beside_of(path)):
                if os.path.lexists(path):
                    os.rename(path, replaced_of(path))
                os.rename(beside_of(path), path)
                fsync_directory(os.path.dirname(path))
        if arguments["walDirectory"] != "":
            lead_pg_wal(arguments["dataDirectory"], arguments["walDirectory"])
            lead_pg_wal(replaced_of(arguments["dataDirectory"]), replaced_of(arguments["walDirectory"]))
        replaced = replaced_of(arguments["dataDirectory"])
        put_marker(arguments, marker, state="ready", beside=None, replaced=replaced)

    as_piece(arguments, exchange, "swapped")


def lead_pg_wal(directory, wal):
    temporary = os.path.join(directory, "pg_wal.new")
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(wal, temporary)
    os.rename(temporary, os.path.join(directory, "pg_wal"))
    fsync_directory(directory)


def discard(arguments):
    """Removes what a clone replaced, or began beside the data: what carries the marker's token, and nothing else. The
    member may run."""

    def remove():
        marker = completed_marker(arguments, "ready", "rewinding")
        for own in own_directories(arguments):
            for path in (beside_of(own), replaced_of(own)):
                remove_own(path, marker.get("token"))
        begin_marked(arguments, marker, beside=None, replaced=None, token=None)

    as_piece(arguments, remove, "discarded")


def remove_own(path, token):
    if not os.path.lexists(path):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        refuse_others(path, descriptor, token, False)
        remove_content(descriptor, os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)
    os.rmdir(path)
    fsync_directory(os.path.dirname(path))


def give_up(arguments):
    """The member's own data may be removed from now on, as that of a clone that was begun: it is to be cloned in place."""

    def give():
        refuse_running(arguments)
        marker = completed_marker(arguments, "ready", "rewinding")
        replaced_copies(arguments, marker)
        opened = [(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY)) for path in own_directories(arguments)]
        try:
            descriptors = dict(opened)
            expected = dict(arguments, systemIdentifier=marker.get("systemIdentifier"))
            erasable = system_directories(expected, descriptors)
            for path, descriptor in opened:
                refuse_others(path, descriptor, marker.get("token"), path in erasable)
            for path in descriptors:
                remove_own(beside_of(path), marker.get("token"))
                remove_own(replaced_of(path), marker.get("token"))
            token = marker.get("token") or arguments["token"]
            for descriptor in descriptors.values():
                put_token(descriptor, token)
            begin_marked(arguments, marker, state="cloning", token=token, beside=None, replaced=None)
        finally:
            for _, descriptor in opened:
                os.close(descriptor)

    as_piece(arguments, give, "given up")


# --- cut: an unfinished record at the end of a member's WAL goes, and nothing else


def cut(arguments):
    """Of `fromLsn` the one who asked has proved that another member left this timeline there, and that the WAL before it is
    that one's too. Once more it is looked at whether the last whole record ends there."""

    def act():
        refuse_running(arguments)
        completed_marker(arguments, "ready")
        directory, timeline, size = arguments["dataDirectory"], arguments["timeline"], arguments["segmentBytes"]
        end = dumped_record_end(last_record(arguments, wal_files(directory), timeline), size)
        if end is None or lsn_text(end) != arguments["fromLsn"]:
            raise Refused("its WAL does not end at %s" % arguments["fromLsn"])
        if partial_record_to(directory, timeline, end, size) is None:
            return  # it was cut off before
        reason = keep_aside(arguments)
        if reason is not None:
            raise Refused(reason)
        with guarded(arguments["lock"]):
            refuse_overtaken(arguments)
            refuse_running(arguments)
            cut_off(directory, timeline, end, size)

    as_piece(arguments, act, "cut")
