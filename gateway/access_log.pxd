cimport cython

from gateway.http1.message cimport Request


cdef class _JsonLines:
    cdef public dict _known

    @cython.locals(target=bytes, query=Py_ssize_t, key=tuple)
    cpdef str line(self, Request request, str date)
