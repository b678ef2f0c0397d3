# --- partial record: WAL that ends within a record which would go on in a file that is not there

# As a disk that is full, or a host that dies, may leave it with a primary. Where another member was promoted at the begin of
# that record, PostgreSQL asks it for the rest of the record, which nobody will ever write, and never comes to stream.

PAGE_HEADER = struct.Struct("=HHIQI")  # magic, flags, timeline, address, bytes of the record that an earlier page began
PAGE_GOES_ON = 1  # it begins with the rest of a record


def dumped_record_end(line, segment_bytes):
    """Where the record of a line of pg_waldump ends; None for a line that is none."""
    match = re.search(r"len \(rec/tot\): *\d+/ *(\d+),.* lsn: ([0-9A-F]+)/([0-9A-F]+)", line or "")
    return match and record_end((int(match[2], 16) << 32) + int(match[3], 16), int(match[1]), segment_bytes)


def partial_record_to(directory, timeline, end, segment_bytes):
    """Where the file ends up to whose last byte a record goes that begins at `end`, behind the last whole one; None where
    there is no such record. One that breaks off earlier does no harm: PostgreSQL then asks for that file as a whole."""
    if not end or end % segment_bytes == 0:
        return None
    page = end - end % PAGE_BYTES
    to = end - end % segment_bytes + segment_bytes
    try:
        with open(os.path.join(directory, "pg_wal", wal_name(timeline, end, segment_bytes)), "rb") as file:
            file.seek(page % segment_bytes)
            content = file.read()
    except OSError:
        return None
    if len(content) != to - page or page_header(content, 0)[1] != page:
        return None
    begin = max(end - page, SEGMENT_HEADER_BYTES if page % segment_bytes == 0 else PAGE_HEADER_BYTES)
    left = int.from_bytes(content[begin : begin + 4], sys.byteorder) - (PAGE_BYTES - begin)
    for at in range(PAGE_BYTES, len(content), PAGE_BYTES):
        goes_on, address, rest = page_header(content, at)
        if left <= 0 or not goes_on or address != page + at or rest != left:
            return None
        left -= PAGE_BYTES - PAGE_HEADER_BYTES
    return to if left > 0 else None


def page_header(content, at):
    _, flags, _, address, rest = PAGE_HEADER.unpack_from(content, at)
    return flags & PAGE_GOES_ON, address, rest


def wal_name(timeline, lsn, size):
    return "%08X%08X%08X" % (timeline, lsn >> 32, (lsn & 0xFFFFFFFF) // size)


def cut_off(directory, timeline, end, segment_bytes):
    """As PostgreSQL itself leaves a file whose last record is whole: nothing but zeros behind it. Durable, and repeatable."""
    name = os.path.join(directory, "pg_wal", wal_name(timeline, end, segment_bytes))
    with open(name, "r+b", buffering=0) as file:
        file.seek(end % segment_bytes)
        file.write(bytes(segment_bytes - end % segment_bytes))
        os.fsync(file.fileno())
