cimport cython


cdef class ChunkScanner:
    cdef public long long payload
    cdef int _state
    cdef long long _left
    cdef bytes _partial
    cdef Py_ssize_t _trailer_bytes

    cpdef Py_ssize_t feed(self, bytes data, Py_ssize_t start=*) except -2
    cpdef tuple decode(self, bytes data, Py_ssize_t start=*)

    @cython.locals(position=Py_ssize_t, size=Py_ssize_t)
    cdef Py_ssize_t _walk(self, bytes data, Py_ssize_t start, list pieces) except -2

    @cython.locals(taken=Py_ssize_t)
    cdef Py_ssize_t _data(self, bytes data, Py_ssize_t position, list pieces) except -2

    @cython.locals(end=Py_ssize_t, limit=Py_ssize_t, line=bytes)
    cdef Py_ssize_t _line(self, bytes data, Py_ssize_t position) except -2

    cdef Py_ssize_t _limit(self)
    cdef _check_beginning(self)
    cdef _take(self, bytes line)
    cdef _take_size(self, bytes line)
    cdef _take_trailer(self, bytes line)
