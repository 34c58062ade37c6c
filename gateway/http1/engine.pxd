cdef class Engine:
    cdef public object finder
    cdef public object spawn
    cdef public tuple observers
    cdef public object is_trusted
    cdef public object patience
    cdef readonly double body_s
    cdef readonly double idle_s
    cdef readonly double write_s
    cdef public object next_trace
    cdef public object count
    cdef public object allowed_until
    cdef public object loop
    cdef public dict connections
    cdef public bint is_draining
    cdef public long long refused_connections
    cdef public bytes date
    cdef str _prefix
    cdef long long _count
    cdef object _sweeper
    cdef object _is_empty

    cpdef str request_id(self)
