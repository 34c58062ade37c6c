cimport cython

from gateway cimport clock
from gateway.http1 cimport answer as answering
from gateway.http1.engine cimport Engine
from gateway.http1.inbound cimport Inbound
from gateway.http1.message cimport Request
from gateway.http1.passage cimport Passage
from gateway.pipe cimport Pipe


@cython.freelist(64)
cdef class Exchange:
    cdef public Engine engine
    cdef public Inbound inbound
    cdef public Request request
    cdef public Pipe pipe
    cdef public Passage passage
    cdef public int reached
    cdef int rescuable
    cdef public long long max_body
    cdef public bint has_body_left
    cdef public bint is_answered
    cdef public bint is_over
    cdef public object waiting
    cdef public object body_future
    cdef public object stream_limit
    cdef public object drained
    cdef public double limit
    cdef object timer

    @cython.locals(request=Request, inbound=Inbound, engine=Engine, pipe=Pipe)
    cpdef begin(self)

    @cython.locals(request=Request, pipe=Pipe, checks=tuple, bodies=tuple, count=int, passage=Passage)
    cdef _walk(self)

    cdef bint _has_body(self, long long limit) except -1

    @cython.locals(request=Request)
    cpdef end(self)
