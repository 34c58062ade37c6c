cimport cython

from gateway.http1.message cimport Request
from gateway.identity cimport Identity


cdef class Admission:
    cdef public object _apps
    cdef public object _disabled_proxies
    cdef public object _addresses
    cdef public object _lists
    cdef public object _disabled_devices
    cdef public bint _judges_holders
    cdef public dict _memo

    cpdef admit(self, object name, object remote)
    cpdef admit_caller(self, Identity identity, object remote)


cdef class Authorise:
    cdef public Admission _admission
    cdef public object _scope
    cdef public object _target
    cdef public object _operation

    @cython.locals(identity=Identity)
    cpdef on_request(self, Request request)
