cimport cython


cdef class RowStream:
    cdef object _result
    cdef object _reader
    cdef list _decoders
    cdef bytes _buffer
    cdef Py_ssize_t _at
    cdef bint _is_over

    @cython.locals(
        data=bytes, at=Py_ssize_t, decoders=list, available=Py_ssize_t, body=Py_ssize_t, end=Py_ssize_t, first=int
    )
    cdef bint _split(self, list rows, Py_ssize_t count) except -1

    @cython.locals(data=bytes, parts=list, size=Py_ssize_t)
    cdef bint _long(self, list rows, Py_ssize_t at) except -1

    cdef _finish(self, bytes packet)


@cython.locals(row=list, size=Py_ssize_t, width=Py_ssize_t)
cpdef list split_row(bytes data, Py_ssize_t at, list decoders)
