cimport cython

from gateway.http1.message cimport Request


cdef class _JsonLines:
    cdef public dict _known

    @cython.locals(key=tuple, known=bytes)
    cpdef bytes line(self, Request request, bytes date)


cdef class AccessLog:
    cdef public object dropped
    cdef public object _path
    cdef public object _settings
    cdef public object _drops
    cdef public object _wall
    cdef public list _lines
    cdef public long long _size
    cdef public long long _limit
    cdef public double _sample
    cdef public _JsonLines _json
    cdef public object _stamp
    cdef public long long _ms
    cdef public bytes _date
    cdef public object _file
    cdef public object _written
    cdef public object _is_failing
    cdef public object _writing

    @cython.locals(now=double, ms="long long", size="long long", line=bytes)
    cpdef on_end(self, Request request)
