from gateway.http1.head cimport ResponseHead


cdef class Carried:
    cpdef int answer_begins(self, ResponseHead head) except -1
    cpdef answer_piece(self, bytes data, bint is_last)
