cimport cython


cdef class MemoryLimiter:
    cdef public object _max_keys
    cdef public object _clock
    cdef public object _wall
    cdef public dict _arrivals
    cdef public dict _counts
    cdef public dict _under_way
    cdef public object _periods
    cdef public object dirty

    @cython.locals(now=double, at=double, over=double)
    cpdef double spend(self, str key, double interval_s, double tolerance_s) except? -1e300
