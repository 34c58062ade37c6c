cimport cython

from gateway cimport clock
from gateway.http1 cimport answer
from gateway.http1.carried cimport Carried
from gateway.http1.exchange cimport Exchange
from gateway.http1.forward cimport Forward
from gateway.http1.head cimport ResponseHead
from gateway.http1.inbound cimport Inbound
from gateway.http1.message cimport Request, Response
from gateway.http1.outbound cimport Outbound
from gateway.upstream.endpoints cimport EndpointState
from gateway.upstream.upstream cimport UpstreamState


cdef class Passage(Carried):
    cdef public Exchange owner
    cdef public Request request
    cdef public Inbound inbound
    cdef public Forward proxy
    cdef public UpstreamState upstream
    cdef public EndpointState endpoint
    cdef public Outbound outbound
    cdef public int attempt
    cdef public double sent_at
    cdef public bytes unsent
    cdef public list opening
    cdef public object kept
    cdef public bint is_streaming
    cdef public ResponseHead came
    cdef public object relay
    cdef public object tunnel

    cpdef start(self)

    @cython.locals(endpoint=EndpointState)
    cdef _send(self)

    @cython.locals(head=bytes)
    cdef _connected(self, Outbound outbound)

    cpdef body_piece(self, bytes data, bint is_last)

    @cython.locals(status=int, length="long long")
    cpdef int answer_begins(self, ResponseHead head) except -1

    @cython.locals(opening=list, request=Request)
    cdef _open_as_it_came(self, ResponseHead head)

    @cython.locals(owner=Exchange, request=Request, response=Response, limit="long long")
    cdef int _changed(self, ResponseHead head) except -1

    @cython.locals(owner=Exchange, head=ResponseHead, answers=tuple, length="long long", is_untouched=bint)
    cdef int _pass_on(self, Response response, int below) except -1

    @cython.locals(opening=list, owner=Exchange)
    cpdef answer_piece(self, bytes data, bint is_last)

    @cython.locals(outbound=Outbound, endpoint=EndpointState, took_s=double)
    cdef _release(self)
    cdef bint _is_hurried(self, int status)

    @cython.locals(outbound=Outbound)
    cdef _drop_connection(self)

    cpdef drop(self, str outcome)
