# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The scanner in C: the same verdicts as the `…_pure` functions of `scanner`, which is the place to read the rules.

Every loop over the head runs through a table in which NUL stands for "stop", and a bytes object ends with a NUL that is not part
of it: so no loop leaves the head. What follows a stop is compared byte by byte, and the first that differs ends the comparison.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcpy

from gateway.http1.message cimport Request

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

cdef struct RequestLine:
    Py_ssize_t verb_length
    const unsigned char *target
    const unsigned char *target_end
    int minor
    const unsigned char *end  # before its CRLF

cdef struct Field:
    const unsigned char *name
    const unsigned char *colon
    const unsigned char *value_end
    int kind

cdef struct Forward:  # what goes on: lines that are neighbours are one run
    Run runs[MAX_LINES]
    int count
    int lines  # that were read
    bint is_joined  # the next with the line before

cdef char VALUE[256]
cdef char PATH[256]
cdef char QUERY[256]
cdef unsigned char LOWER[256]  # of the bytes of a name; 0 for all others
cdef Table REQUEST_TABLE
cdef Table RESPONSE_TABLE
cdef Py_ssize_t MAX_TARGET = fields.MAX_TARGET
cdef Py_ssize_t MAX_LINE = fields.MAX_LINE
cdef Py_ssize_t MAX_HEAD = fields.MAX_HEAD_BYTES
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


cdef inline const unsigned char *_value_end(const unsigned char *at, const unsigned char *end) noexcept:
    """The first byte that may not stand in a value. Eight at a time: memchr finds the CR, then no byte before it may be below 0x20
    or 0x7F; where one seems to be, they are looked at one by one."""
    cdef const unsigned char *cr = <const unsigned char *> memchr(at, c"\r", end - at)
    cdef unsigned long long word
    if cr == NULL:
        cr = end
    while cr - at >= 8:
        memcpy(&word, at, 8)
        if ((word - 0x2020202020202020ULL) | ((word ^ 0x7F7F7F7F7F7F7F7FULL) - 0x0101010101010101ULL)) & ~word & 0x8080808080808080ULL:
            break
        at += 8
    while VALUE[at[0]]:
        at += 1
    return at


cdef inline bint _is_version(const unsigned char *at) noexcept:
    return (
        at[0] == c"H" and at[1] == c"T" and at[2] == c"T" and at[3] == c"P" and at[4] == c"/" and at[5] == c"1"
        and at[6] == c"." and c"0" <= at[7] <= c"1"
    )


cdef inline const unsigned char *_request_line(const unsigned char *at, const unsigned char *end, RequestLine *line) noexcept:
    """What follows the request line that must be here, or NULL."""
    cdef const unsigned char *start = at
    while c"A" <= at[0] <= c"Z":
        at += 1
    line.verb_length = at - start
    if not 1 <= line.verb_length <= 20 or at[0] != c" ":
        return NULL
    at += 1
    line.target = at
    while 0x21 <= at[0] <= 0x7E:
        at += 1
    line.target_end = at
    if not 1 <= at - line.target <= MAX_TARGET or end - at < 11 or at[0] != c" " or not _is_version(at + 1):
        return NULL
    line.minor = at[8] - c"0"
    line.end = at + 9
    return _line_end(line.end)


cdef inline const unsigned char *_field(
    const unsigned char *at, const unsigned char *end, const Table *table, Field *field, Forward *forward
) noexcept:
    """What follows the field line that begins here, or NULL where it is malformed or one too many."""
    cdef bint is_kept
    field.name = at
    while LOWER[at[0]]:
        at += 1
    if at[0] != c":" or forward.lines == MAX_LINES:
        return NULL
    forward.lines += 1
    field.colon = at
    field.value_end = _value_end(at + 1, end)
    at = _line_end(field.value_end)
    if at == NULL or field.value_end - field.name > MAX_LINE:
        return NULL
    field.kind = _kind(table, field.name, field.colon - field.name)
    is_kept = field.kind & KEEP
    if is_kept and forward.is_joined:
        forward.runs[forward.count - 1].length += at - field.name
    elif is_kept:
        forward.runs[forward.count].start = <const char *> field.name
        forward.runs[forward.count].length = at - field.name
        forward.count += 1
    forward.is_joined = is_kept
    return at


cdef bytes _lines(const Forward *forward):
    cdef Py_ssize_t total = 0
    cdef int index
    cdef char *to
    for index in range(forward.count):
        total += forward.runs[index].length
    made = PyBytes_FromStringAndSize(NULL, total)
    to = PyBytes_AS_STRING(made)
    for index in range(forward.count):
        memcpy(to, forward.runs[index].start, forward.runs[index].length)
        to += forward.runs[index].length
    return made


cdef inline bytes _between(const unsigned char *start, const unsigned char *end):
    return PyBytes_FromStringAndSize(<const char *> start, end - start)


cdef inline void _strip(const unsigned char **start, const unsigned char **end) noexcept:
    while start[0] < end[0] and (start[0][0] == c" " or start[0][0] == c"\t"):
        start[0] += 1
    while end[0] > start[0] and ((end[0] - 1)[0] == c" " or (end[0] - 1)[0] == c"\t"):
        end[0] -= 1


cdef bytes _scan_fields(const unsigned char *at, const unsigned char *end, const Table *table, list told):
    """The lines to forward, or None; `told` is filled."""
    cdef Forward forward
    cdef Field field
    cdef const unsigned char *value
    forward.count = forward.lines = forward.is_joined = 0
    while LOWER[at[0]]:
        at = _field(at, end, table, &field, &forward)
        if at == NULL:
            return None
        if field.kind & TOLD:
            value = field.colon + 1
            _strip(&value, &field.value_end)
            told.append((field.kind & TOLD, _between(value, field.value_end)))
    if _line_end(at) != end:
        return None
    return _lines(&forward)


def scan_request(bytes head):
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(head)
    cdef const unsigned char *end = start + PyBytes_GET_SIZE(head)
    cdef RequestLine line
    cdef list told = []
    cdef const unsigned char *at = _request_line(start, end, &line)
    if at == NULL:
        return None
    cdef bytes forward = _scan_fields(at, end, &REQUEST_TABLE, told)
    if forward is None:
        return None
    return (
        _between(start, start + line.verb_length),
        _between(line.target, line.target_end),
        _is_plain(line.target, line.target_end),
        line.minor,
        _between(start, line.end),
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
    if end - at < 14 or not _is_version(at) or at[8] != c" ":
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


cdef bytes EMPTY = b""
cdef bytes GET = b"GET"
cdef bytes POST = b"POST"
cdef str NO_TEXT = ""
cdef str HTTP = "http"
cdef int K_HOST = fields.HOST
cdef int K_CONTENT_LENGTH = fields.CONTENT_LENGTH
cdef int K_CONNECTION = fields.CONNECTION
cdef int K_REQUEST_ID = fields.REQUEST_ID
cdef int K_TRACE = fields.TRACE
cdef int K_AUTHORIZATION = fields.AUTHORIZATION
cdef int K_API_KEY = fields.API_KEY
cdef int K_SIGNED = fields.SIGNED
cdef char IS_ID[256]
cdef char IS_TRACE[256]
_mark(IS_ID, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_mark(IS_TRACE, b"0123456789abcdef")


cdef bytes _verb(const unsigned char *start, Py_ssize_t length):
    if length == 3 and start[0] == c"G" and start[1] == c"E" and start[2] == c"T":
        return GET
    if length == 4 and start[0] == c"P" and start[1] == c"O" and start[2] == c"S" and start[3] == c"T":
        return POST
    return PyBytes_FromStringAndSize(<const char *> start, length)


cdef bint _is_trace(const unsigned char *at, Py_ssize_t length) noexcept:
    """A traceparent of version 00 that needs no second look (W3C Trace Context §3.2)."""
    cdef int index, ored = 0
    if length != 55 or at[0] != c"0" or at[1] != c"0" or at[2] != c"-" or at[35] != c"-" or at[52] != c"-":
        return False
    for index in range(3, 35):
        if not IS_TRACE[at[index]]:
            return False
        ored |= at[index] ^ c"0"
    if ored == 0:
        return False
    ored = 0
    for index in range(36, 52):
        if not IS_TRACE[at[index]]:
            return False
        ored |= at[index] ^ c"0"
    return ored != 0 and IS_TRACE[at[53]] and IS_TRACE[at[54]]


cdef bint _take(Request request, int kind, const unsigned char *at, const unsigned char *end, set hosts) except -1:
    """One known field of a plain request; False where it is not plain."""
    cdef Py_ssize_t length
    cdef long long number = 0
    _strip(&at, &end)
    length = end - at
    if kind == K_HOST:
        request.host = _between(at, end)
        return request.host in hosts
    if kind == K_AUTHORIZATION:
        request.authorization = _between(at, end)
        return True
    if kind == K_TRACE:
        if not _is_trace(at, length):
            return False
        request.trace = _between(at, end)
        return True
    if kind == K_REQUEST_ID:
        if not 1 <= length <= 64:
            return False
        request.request_id = PyUnicode_DecodeASCII(<const char *> at, length, NULL) if _all_marked(at, end) else NO_TEXT
        return True
    if kind == K_CONTENT_LENGTH:
        if not 1 <= length <= 18:
            return False
        while at < end:
            if not c"0" <= at[0] <= c"9":
                return False
            number = number * 10 + (at[0] - c"0")
            at += 1
        request.body_length = number
        return True
    if kind == K_API_KEY:
        request.api_key = _between(at, end)
        return True
    if kind == K_SIGNED:
        request.is_signed = True
        return True
    return kind == K_CONNECTION and length == 10 and _equals(at, b"keep-alive", 10)


cdef bint _all_marked(const unsigned char *at, const unsigned char *end) noexcept:
    while at < end:
        if not IS_ID[at[0]]:
            return False
        at += 1
    return True


def plain_request(bytes data, set hosts):
    """The request whose head `data` begins with, where it is whole and of the usual kind: HTTP/1.1, a plain target, a host of `hosts`,
    each known field once and none that needs a second look. None for all others, right or wrong: `head.parse_request` then decides,
    by the same rules."""
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(data)
    cdef const unsigned char *end = start + PyBytes_GET_SIZE(data)
    cdef RequestLine line
    cdef Field field
    cdef Forward forward
    cdef int told, seen = 0
    cdef Request request
    cdef const unsigned char *at = _request_line(start, end, &line)
    if at == NULL or line.minor != 1 or start[0] == c"C" or start[0] == c"T":  # CONNECT and TRACE
        return None
    if not _is_plain(line.target, line.target_end):
        return None
    request = Request.__new__(Request)
    request.verb = _verb(start, line.verb_length)
    request.target = _between(line.target, line.target_end)
    request.line = _between(start, line.end)
    request.host = request.authorization = request.upgrade = request.forwarded_for = request.forwarded_proto = EMPTY
    request.trace = request.trace_state = request.api_key = EMPTY
    request.remote = request.request_id = request.error_code = request.upstream = NO_TEXT
    request.scheme = HTTP
    request.minor = 1
    request.keep_alive = True
    forward.count = forward.lines = forward.is_joined = 0
    while LOWER[at[0]]:
        at = _field(at, end, &REQUEST_TABLE, &field, &forward)
        if at == NULL:
            return None
        told = field.kind & TOLD
        if told:
            if (seen >> told & 1 and told != K_SIGNED) or not _take(request, told, field.colon + 1, field.value_end, hosts):
                return None
            seen |= 1 << told
    at = _line_end(at)
    if at == NULL or at - start > MAX_HEAD or not seen >> K_HOST & 1:
        return None
    request.head = data if at == end else _between(start, at)
    request.forward = _lines(&forward)
    return request
