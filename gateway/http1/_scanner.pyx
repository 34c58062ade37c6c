# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The scanner in C: the same verdicts as the `…_pure` functions of `scanner`, which is the place to read the rules.

Every loop over the head runs through a table in which NUL stands for "stop", and a bytes object ends with a NUL that is not part
of it: so no loop leaves the head. What follows a stop is compared byte by byte, and the first that differs ends the comparison.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from gateway.http1 import fields

cdef enum:
    MAX_LINES = 100
    SLOTS = 64
    MAX_KNOWN = 128

cdef struct Known:
    const char *name
    Py_ssize_t length
    int kind
    int following  # the next of the same slot, or -1

cdef struct Table:
    Known known[MAX_KNOWN]
    int slots[SLOTS]

cdef struct Run:
    const char *start
    Py_ssize_t length

cdef char VALUE[256]
cdef char PATH[256]
cdef char QUERY[256]
cdef unsigned char LOWER[256]  # of the bytes of a name; 0 for all others
cdef Table REQUEST_TABLE
cdef Table RESPONSE_TABLE
cdef Py_ssize_t MAX_TARGET = fields.MAX_TARGET
cdef Py_ssize_t MAX_LINE = fields.MAX_LINE
cdef int KEEP = fields.KEEP
cdef int TOLD = fields.TOLD
cdef int DROP = fields.DROP
cdef bytes RESERVED = fields.RESERVED_PREFIX
cdef list _names_kept_alive = []


cdef void _mark(char *table, bytes allowed):
    for byte in allowed:
        table[<unsigned char> byte] = 1


cdef int _slot(Py_ssize_t length, unsigned char first) noexcept nogil:
    return <int> ((length * 7 + first) & (SLOTS - 1))


cdef int _fill(Table *table, dict kinds) except -1:
    cdef int count = 0, slot
    if len(kinds) > MAX_KNOWN or fields.MAX_HEADERS != MAX_LINES:
        raise ValueError("the scanner's C tables are smaller than fields.py asks for")
    for slot in range(SLOTS):
        table.slots[slot] = -1
    for name, kind in kinds.items():
        _names_kept_alive.append(name)
        slot = _slot(len(name), name[0])
        table.known[count].name = PyBytes_AS_STRING(name)
        table.known[count].length = len(name)
        table.known[count].kind = kind
        table.known[count].following = table.slots[slot]
        table.slots[slot] = count
        count += 1
    return 0


_mark(VALUE, fields.VALUE_BYTES)
_mark(PATH, fields.PATH_BYTES)
_mark(QUERY, fields.QUERY_BYTES)
for _byte in fields.TOKEN_BYTES:
    LOWER[<unsigned char> _byte] = bytes([_byte]).lower()[0]
_fill(&REQUEST_TABLE, fields.REQUEST_FIELDS)
_fill(&RESPONSE_TABLE, fields.RESPONSE_FIELDS)


cdef bint _equals(const unsigned char *text, const char *lower, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(length):
        if LOWER[text[index]] != <unsigned char> lower[index]:
            return False
    return True


cdef int _kind(const Table *table, const unsigned char *name, Py_ssize_t length) noexcept:
    cdef int index = table.slots[_slot(length, LOWER[name[0]])]
    while index >= 0:
        if table.known[index].length == length and _equals(name, table.known[index].name, length):
            return table.known[index].kind
        index = table.known[index].following
    if length >= PyBytes_GET_SIZE(RESERVED) and _equals(name, PyBytes_AS_STRING(RESERVED), PyBytes_GET_SIZE(RESERVED)):
        return DROP
    return KEEP


cdef bint _is_plain(const unsigned char *target, const unsigned char *end) noexcept:
    """Begins with /, no segment begins with / or a dot, nothing is percent-encoded."""
    if target[0] != c"/":
        return False
    while target < end and target[0] == c"/":
        target += 1
        if target < end and (target[0] == c"." or target[0] == c"/"):
            return False
        while target < end and PATH[target[0]]:
            target += 1
    if target < end:
        if target[0] != c"?":
            return False
        target += 1
        while target < end and QUERY[target[0]]:
            target += 1
    return target == end


cdef inline const unsigned char *_line_end(const unsigned char *at) noexcept:
    """After the CRLF that must be here, or NULL."""
    if at[0] == c"\r" and at[1] == c"\n":
        return at + 2
    return NULL


cdef bytes _lines(const Run *runs, int count):
    cdef Py_ssize_t total = 0
    cdef int index
    cdef char *to
    for index in range(count):
        total += runs[index].length
    made = PyBytes_FromStringAndSize(NULL, total)
    to = PyBytes_AS_STRING(made)
    for index in range(count):
        memcpy(to, runs[index].start, runs[index].length)
        to += runs[index].length
    return made


cdef bytes _stripped(const unsigned char *start, const unsigned char *end):
    while start < end and (start[0] == c" " or start[0] == c"\t"):
        start += 1
    while end > start and ((end - 1)[0] == c" " or (end - 1)[0] == c"\t"):
        end -= 1
    return PyBytes_FromStringAndSize(<const char *> start, end - start)


cdef bytes _scan_fields(const unsigned char *at, const unsigned char *end, const Table *table, list told):
    """The lines to forward, or None; `told` is filled."""
    cdef Run runs[MAX_LINES]
    cdef int count = 0, lines = 0, kind
    cdef bint is_joined = False  # with the line before
    cdef const unsigned char *name
    cdef const unsigned char *colon
    cdef const unsigned char *value_end
    while LOWER[at[0]]:
        name = at
        while LOWER[at[0]]:
            at += 1
        if at[0] != c":" or lines == MAX_LINES:
            return None
        lines += 1
        colon = at
        at += 1
        while VALUE[at[0]]:
            at += 1
        value_end = at
        at = _line_end(at)
        if at == NULL or value_end - name > MAX_LINE:
            return None
        kind = _kind(table, name, colon - name)
        if kind & KEEP:
            if is_joined:
                runs[count - 1].length += at - name
            else:
                runs[count].start = <const char *> name
                runs[count].length = at - name
                count += 1
        is_joined = kind & KEEP
        if kind & TOLD:
            told.append((kind & TOLD, _stripped(colon + 1, value_end)))
    if _line_end(at) != end:
        return None
    return _lines(runs, count)


def scan_request(bytes head):
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(head)
    cdef const unsigned char *end = start + PyBytes_GET_SIZE(head)
    cdef const unsigned char *at = start
    cdef const unsigned char *target
    cdef const unsigned char *target_end
    cdef const unsigned char *line_end
    cdef Py_ssize_t verb_length
    cdef int minor
    cdef list told = []
    cdef bytes forward
    while c"A" <= at[0] <= c"Z":
        at += 1
    verb_length = at - start
    if not 1 <= verb_length <= 20 or at[0] != c" ":
        return None
    target = at + 1
    at = target
    while 0x21 <= at[0] <= 0x7E:
        at += 1
    target_end = at
    if not 1 <= target_end - target <= MAX_TARGET or end - at < 11:
        return None
    if not (
        at[0] == c" " and at[1] == c"H" and at[2] == c"T" and at[3] == c"T" and at[4] == c"P" and at[5] == c"/"
        and at[6] == c"1" and at[7] == c"." and c"0" <= at[8] <= c"1"
    ):
        return None
    minor = at[8] - c"0"
    line_end = at + 9
    at = _line_end(line_end)
    if at == NULL:
        return None
    forward = _scan_fields(at, end, &REQUEST_TABLE, told)
    if forward is None:
        return None
    return (
        PyBytes_FromStringAndSize(<const char *> start, verb_length),
        PyBytes_FromStringAndSize(<const char *> target, target_end - target),
        _is_plain(target, target_end),
        minor,
        PyBytes_FromStringAndSize(<const char *> start, line_end - start),
        forward,
        told,
    )


def scan_response(bytes head):
    cdef const unsigned char *at = <const unsigned char *> PyBytes_AS_STRING(head)
    cdef const unsigned char *end = at + PyBytes_GET_SIZE(head)
    cdef const unsigned char *reason
    cdef const unsigned char *reason_end
    cdef char *to
    cdef int minor, status
    cdef Py_ssize_t length
    cdef bytes status_line
    cdef list told = []
    cdef bytes forward
    if end - at < 14 or not (
        at[0] == c"H" and at[1] == c"T" and at[2] == c"T" and at[3] == c"P" and at[4] == c"/" and at[5] == c"1"
        and at[6] == c"." and c"0" <= at[7] <= c"1" and at[8] == c" "
    ):
        return None
    minor = at[7] - c"0"
    if not (c"1" <= at[9] <= c"5" and c"0" <= at[10] <= c"9" and c"0" <= at[11] <= c"9"):
        return None
    status = (at[9] - c"0") * 100 + (at[10] - c"0") * 10 + (at[11] - c"0")
    at += 12
    reason = at
    if at[0] == c" ":
        at += 1
        while VALUE[at[0]]:
            at += 1
    reason_end = at
    at = _line_end(at)
    if at == NULL:
        return None
    forward = _scan_fields(at, end, &RESPONSE_TABLE, told)
    if forward is None:
        return None
    # The space belongs to the line even before no reason.
    length = 12 + max(reason_end - reason, 1) + 2
    status_line = PyBytes_FromStringAndSize(NULL, length)
    to = PyBytes_AS_STRING(status_line)
    memcpy(to, b"HTTP/1.1", 8)
    memcpy(to + 8, <const char *> reason - 4, 4)
    to[12] = c" "
    memcpy(to + 12, <const char *> reason, reason_end - reason)
    memcpy(to + length - 2, b"\r\n", 2)
    return status, minor, status_line, forward, told
