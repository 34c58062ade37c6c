cimport cython

from gateway.http1.message cimport Request
from gateway.upstream.endpoints cimport EndpointState
from gateway.upstream.upstream cimport UpstreamState


cdef class Forward:
    cdef bint _websocket
    cdef int _strip
    cdef bytes _prefix
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

    @cython.locals(parts=list)
    cpdef bytes head(self, Request request, EndpointState endpoint, UpstreamState upstream, bytes forwarded)


cdef bytes _framing(Request request)
cdef bytes _without(bytes block, set names)
