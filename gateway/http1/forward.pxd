cimport cython

from gateway.http1.message cimport Request


cdef class Forward:
    cdef bint _websocket
    cdef int _strip
    cdef bytes _prefix
    cdef object _splitter
    cdef object _upstream
    cdef object _get
    cdef public double idle_s
    cdef public long long max_message_bytes
    cdef public object shadow

    cpdef check(self, Request request)
    cpdef upstream_for(self, Request request)
    cpdef bytes pool_key(self, object upstream, Request request)
    cpdef bytes target(self, Request request)

    @cython.locals(parts=list)
    cpdef bytes head(self, Request request, object endpoint, object upstream, bytes forwarded)


cdef bytes _framing(Request request)
cdef bytes _without(bytes block, set names)
