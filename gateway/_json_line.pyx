# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A line of the access log in C, byte for byte what `access_log._JsonLines.line` makes; None where something has to be quoted."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memcpy

from gateway.http1.message cimport Request

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef enum:
    TRACE_BYTES = 32
    DIGITS = 20  # of the longest number
    FIXED = 256  # more than all that is always there, and all numbers


cdef inline bint _needs_quotes(const unsigned char *at, Py_ssize_t size) noexcept:
    cdef Py_ssize_t index
    for index in range(size):
        if at[index] < 0x20 or at[index] > 0x7E or at[index] == c'"' or at[index] == c"\\":
            return True
    return False


cdef inline char *_put(char *to, const char *text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


cdef inline char *_put_number(char *to, long long number) noexcept:
    cdef char digits[DIGITS]
    cdef int count = 0
    cdef unsigned long long left = <unsigned long long> number
    if number < 0:
        to[0] = c"-"
        to += 1
        left = 0 - left
    while True:
        digits[count] = <char> (c"0" + left % 10)
        count += 1
        left //= 10
        if left == 0:
            break
    while count:
        count -= 1
        to[0] = digits[count]
        to += 1
    return to


cpdef bytes json_line(Request request, bytes date, bytes known, str cached):
    """`known`: the fields that repeat, `cached`: the cache's verdict."""
    cdef const unsigned char *path = <const unsigned char *> PyBytes_AS_STRING(request.target)
    cdef Py_ssize_t path_size = 0, target_size = PyBytes_GET_SIZE(request.target)
    cdef const unsigned char *trace
    cdef Py_ssize_t trace_size = PyBytes_GET_SIZE(request.trace) - 3
    cdef const char *id_text
    cdef const char *verdict
    cdef Py_ssize_t id_size, verdict_size, date_size = PyBytes_GET_SIZE(date), known_size = PyBytes_GET_SIZE(known)
    cdef char *to
    while path_size < target_size and path[path_size] != c"?":
        path_size += 1
    trace_size = 0 if trace_size < 0 else TRACE_BYTES if trace_size > TRACE_BYTES else trace_size
    trace = <const unsigned char *> PyBytes_AS_STRING(request.trace) + (3 if trace_size else 0)
    if not PyUnicode_IS_COMPACT_ASCII(request.request_id) or not PyUnicode_IS_COMPACT_ASCII(cached):
        return None
    if _needs_quotes(path, path_size) or _needs_quotes(trace, trace_size):
        return None
    id_text = PyUnicode_AsUTF8AndSize(request.request_id, &id_size)
    verdict = PyUnicode_AsUTF8AndSize(cached, &verdict_size)
    made = PyBytes_FromStringAndSize(NULL, FIXED + date_size + id_size + trace_size + known_size + path_size + verdict_size)
    to = PyBytes_AS_STRING(made)
    to = _put(to, b'{"time":"', 9)
    to = _put(to, PyBytes_AS_STRING(date), date_size)
    to = _put(to, b'","id":"', 8)
    to = _put(to, id_text, id_size)
    to = _put(to, b'","trace":"', 11)
    to = _put(to, <const char *> trace, trace_size)
    to = _put(to, b'",', 2)
    to = _put(to, PyBytes_AS_STRING(known), known_size)
    to = _put(to, b',"path":"', 9)
    to = _put(to, <const char *> path, path_size)
    to = _put(to, b'","in":', 7)
    to = _put_number(to, request.received_bytes)
    to = _put(to, b',"out":', 7)
    to = _put_number(to, request.sent_bytes)
    to = _put(to, b',"us":', 6)
    to = _put_number(to, <long long> ((request.ended - request.started) * 1e6))
    to = _put(to, b',"upstream_us":', 15)
    to = _put_number(to, <long long> (request.upstream_s * 1e6))
    to = _put(to, b',"cache":"', 10)
    to = _put(to, verdict, verdict_size)
    to = _put(to, b'"}\n', 3)
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(made), to - PyBytes_AS_STRING(made))
