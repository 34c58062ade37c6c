cimport cython

from gateway.http1.message cimport Request
from gateway.identity cimport Identity
from gateway.pipe cimport Pipe

cdef int _IN, _OUT, _US, _LATENCIES, _STEP_US, _STEPS
cdef bytes _PLACES


cdef class Recorder:
    cdef public dict routes
    cdef public dict apps
    cdef public dict codes
    cdef public dict counters
    cdef public dict gauges
    cdef public object traffic
    cdef public dict _rows
    cdef public object usage
    cdef object _route
    cdef object _app
    cdef list _row

    @cython.locals(pipe=Pipe, identity=Identity, row=list, status=int, took_us="long long", step="long long")
    cpdef on_end(self, Request request)

    @cython.locals(row=list)
    cdef list _row_of(self, route, app)
