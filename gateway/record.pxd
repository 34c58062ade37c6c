cimport cython

from gateway.http1.message cimport Request


cdef class Recorder:
    cdef public dict routes
    cdef public dict apps
    cdef public dict codes
    cdef public dict counters
    cdef public dict gauges
    cdef public object traffic
    cdef public dict _rows
    cdef public object usage
    cdef public object _labels

    @cython.locals(row=list, status=int, took_s=double)
    cpdef on_end(self, Request request)
