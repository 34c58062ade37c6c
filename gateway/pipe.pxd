cdef class Pipe:
    cdef public object name
    cdef public object kind
    cdef public tuple stages
    cdef public object handler
    cdef public object proxy
    cdef public double timeout_s
    cdef public long long max_body_bytes
    cdef public tuple checks
    cdef public tuple bodies
    cdef public tuple answers
    cdef public tuple ends
    cdef public tuple rescues
    cdef public bint sees_answers
    cdef public bint hears_ends
