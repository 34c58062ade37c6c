cimport cython

from cache.limiter_memory cimport MemoryLimiter
from gateway.http1.message cimport Request
from gateway.identity cimport Identity
from gateway.limits cimport Bill


cdef class Limit:
    cdef public tuple _fixed
    cdef public tuple _varying
    cdef public dict _bills
    cdef public tuple _values
    cdef public dict _memo
    cdef public object _decide
    cdef public MemoryLimiter _memory

    @cython.locals(ahead_s=double, bill=Bill, memory=MemoryLimiter, identity=Identity)
    cpdef on_request(self, Request request)


cdef class HoldingLimit(Limit):
    pass
