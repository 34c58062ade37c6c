cimport cython

from gateway cimport clock
from gateway.http1 cimport answer
from gateway.http1 cimport head as heads
from gateway.http1.chunked cimport ChunkScanner
from gateway.http1.engine cimport Engine
from gateway.http1.exchange cimport Exchange
from gateway.http1.message cimport Request
from gateway.http1.passage cimport Passage

cdef int IDLE, BODY, BUSY, TUNNEL, LINGER, CLOSED
cdef int HOLD, COLLECT, PASS, DISCARD


cdef class Inbound:
    cdef public Engine engine
    cdef public object transport
    cdef public int state
    cdef public int mode
    cdef public bytes buffer
    cdef public double deadline
    cdef public Exchange exchange
    cdef public object remote
    cdef public object scheme
    cdef public object certificate
    cdef public bint is_trusted
    cdef public bytes forwarded
    cdef public long long remaining
    cdef public ChunkScanner chunks
    cdef public list parts
    cdef public Passage passage
    cdef public bint is_reading
    cdef public bint is_half
    cdef public bint keep_alive
    cdef public long long discarded

    @cython.locals(state=int)
    cpdef data_received(self, bytes data)

    @cython.locals(end=Py_ssize_t, size=Py_ssize_t, at=double, request=Request, exchange=Exchange)
    cdef _begin(self, bytes data)

    cdef _hold(self, bytes data)
    cpdef pause(self)
    cpdef resume(self)
    cdef _body(self, bytes data)
    cpdef take_body(self, int mode)
    cpdef finished(self)
    cdef _next(self)
    cdef _unread(self)
    cpdef settle(self, Request request)
