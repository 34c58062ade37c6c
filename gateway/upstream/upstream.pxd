cimport cython

from gateway.upstream.endpoints cimport EndpointState
from gateway.upstream.retries cimport Budget

cdef double _NEVER


cdef class UpstreamState:
    cdef public object name
    cdef public list endpoints
    cdef public int active
    cdef public object declared
    cdef public object retried
    cdef public bint host_is_client
    cdef public object pool_by
    cdef public object _now
    cdef public object _make_limit
    cdef public object _found
    cdef public object _pick
    cdef public double _return_at
    cdef public bint _measures
    cdef public object _health
    cdef public object _breaker
    cdef public object _trial_at
    cdef public bint _is_failing
    cdef public bint _is_open
    cdef public Budget _budget
    cdef public object _limit
    cdef public int _concurrent

    @cython.locals(endpoint=EndpointState)
    cpdef choose(self, object request, EndpointState excluded=*)

    cpdef finished(self, EndpointState endpoint, double latency_s, object outcome)
