cdef class Budget:
    cdef public double share
    cdef public double floor
    cdef public long long requests
    cdef double _seen
    cdef double _taken
    cdef double _at
