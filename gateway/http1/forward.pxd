cimport cython

from gateway cimport clock
from gateway.http1.message cimport Request
from gateway.identity cimport Identity
from gateway.upstream.endpoints cimport EndpointState
from gateway.upstream.upstream cimport UpstreamState


cdef class Forward:
    cdef bint _websocket
    cdef int _strip
    cdef bytes _prefix
    cdef bint _edits
    cdef object _splitter
    cdef UpstreamState _upstream
    cdef object _get
    cdef public double idle_s
    cdef public long long max_message_bytes
    cdef public object shadow

    cpdef check(self, Request request)
    cpdef UpstreamState upstream_for(self, Request request)
    cpdef bytes pool_key(self, UpstreamState upstream, Request request)
    cpdef bytes target(self, Request request)

    @cython.locals(parts=list, identity=Identity, forward=bytes, left_ms="long long")
    cpdef bytes head(self, Request request, EndpointState endpoint, UpstreamState upstream, bytes forwarded)


cdef dict _callers, _numbers


@cython.locals(app=str, known=bytes)
cdef bytes _caller(Identity identity)

@cython.locals(known=bytes)
cdef bytes _number(object value)

cdef bytes _framing(Request request)
