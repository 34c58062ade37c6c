from gateway.http1.message cimport Request


cdef class Authenticate:
    cdef public tuple _sent
    cdef public tuple _held
    cdef public tuple _looks
    cdef public object _bearer
    cdef public tuple _challenges
    cdef public object _max_body_bytes

    cpdef on_request(self, Request request)
