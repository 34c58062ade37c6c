cimport cython


cdef class Tracer:
    cdef public object _bound
    cdef public object _sink
    cdef public bytes _pool
    cdef public Py_ssize_t _at

    @cython.locals(at=Py_ssize_t, pool=bytes)
    cpdef bytes next_trace(self, bytes incoming)
