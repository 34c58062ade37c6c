cimport cython


cdef class Bill:
    cdef readonly tuple charges
    cdef readonly tuple amounts
    cdef readonly bytes policy
    cdef readonly str label
    cdef readonly str key
    cdef readonly double interval_s
    cdef readonly double tolerance_s
    cdef bytes _last
    cdef long long _last_left
    cdef long long _last_reset_s

    @cython.locals(left="long long", reset_s="long long")
    cpdef bytes told_alone(self, double ahead_s)
