cimport cython

from gateway.http1.exchange cimport Exchange
from gateway.http1.forward cimport Forward
from gateway.http1.head cimport ResponseHead
from gateway.http1.inbound cimport Inbound
from gateway.http1.message cimport Request
from gateway.http1.outbound cimport Outbound
from gateway.upstream.endpoints cimport EndpointState
from gateway.upstream.upstream cimport UpstreamState


@cython.freelist(64)
cdef class Passage:
    cdef public Exchange owner
    cdef public Request request
    cdef public Inbound inbound
    cdef public Forward proxy
    cdef public UpstreamState upstream
    cdef public EndpointState endpoint
    cdef public Outbound outbound
    cdef public int attempt
    cdef public double sent_at
    cdef public bytes unsent
    cdef public object kept
    cdef public bint is_streaming
    cdef public object relay
    cdef public object tunnel

    cpdef start(self)

    @cython.locals(endpoint=EndpointState)
    cdef _send(self)

    @cython.locals(head=bytes)
    cdef _connected(self, Outbound outbound)

    cpdef body_piece(self, bytes data, bint is_last)

    @cython.locals(status=int, length="long long")
    cpdef int answer_begins(self, ResponseHead head) except -1

    @cython.locals(unsent=bytes, owner=Exchange)
    cpdef answer_piece(self, bytes data, bint is_last)

    @cython.locals(outbound=Outbound, endpoint=EndpointState)
    cdef _release(self)
    cdef bint _is_hurried(self, int status)

    @cython.locals(outbound=Outbound)
    cdef _drop_connection(self)

    cpdef drop(self, str outcome)
