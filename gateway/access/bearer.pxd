cimport cython

from gateway.http1.message cimport Request
from gateway.identity cimport Identity


@cython.no_gc  # nothing that it holds leads back to it, and there are many
cdef class Verified:
    cdef readonly Identity identity
    cdef readonly double until
    cdef readonly object bound
    cdef readonly str made


cdef class Bearer:
    cdef public object _sources
    cdef public object _apps
    cdef public object _proofs
    cdef public object _revocations
    cdef public object _now
    cdef public object _memo

    cpdef bint is_used(self, Request request) except -1

    @cython.locals(given=bytes, known=Verified, identity=Identity)
    cpdef identify(self, Request request)

    cdef Verified _verified(self, bytes given)
