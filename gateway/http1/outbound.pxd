cimport cython

from gateway cimport clock
from gateway.http1.carried cimport Carried
from gateway.http1.chunked cimport ChunkScanner
from gateway.http1.head cimport ResponseHead
from gateway.upstream.endpoints cimport EndpointState

cdef int IDLE, HEAD, BODY, WAITING, CLOSED


cdef class Outbound:
    cdef public EndpointState endpoint
    cdef public bytes key
    cdef public int max_idle
    cdef public object transport
    cdef public Carried carried
    cdef public bytes verb
    cdef public int state
    cdef public bytes buffer
    cdef public int want
    cdef public long long remaining
    cdef public ChunkScanner chunks
    cdef public bint keep_alive
    cdef public bint is_reading
    cdef public bint has_answered
    cdef public double idle_since
    cdef bytes last_bytes
    cdef bytes last_verb
    cdef ResponseHead last_head

    cpdef begin(self, Carried carried, bytes verb)

    @cython.locals(state=int)
    cpdef data_received(self, bytes data)

    @cython.locals(end=Py_ssize_t, raw=bytes, head=ResponseHead)
    cdef _head(self, bytes data)

    @cython.locals(want=int, carried=Carried)
    cdef _answer(self, ResponseHead head, bytes rest)

    cdef _begin_body(self, bytes rest)

    @cython.locals(carried=Carried)
    cdef _give(self, bytes data, bint is_last)

    @cython.locals(remaining="long long", size=Py_ssize_t)
    cdef _body(self, bytes data)

    @cython.locals(end=Py_ssize_t, payload=bytes)
    cdef _chunked(self, bytes data)

    cpdef release(self)
    cpdef drop(self)
    cpdef pause(self)
    cpdef resume(self)
