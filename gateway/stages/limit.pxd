cimport cython

from gateway.http1.message cimport Request


cdef class Limit:
    cdef public tuple _fixed
    cdef public tuple _varying
    cdef public dict _bills
    cdef public tuple _values
    cdef public dict _memo
    cdef public object _decide
    cdef public object _spend

    @cython.locals(ahead_s=double)
    cpdef on_request(self, Request request)


cdef class HoldingLimit(Limit):
    pass
