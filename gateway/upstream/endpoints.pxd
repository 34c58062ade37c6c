cdef class EndpointState:
    cdef public int active
    cdef public bytes authority
    cdef public double ejected_until
    cdef public int ejections
    cdef public int failures
    cdef public object host
    cdef public bint is_down
    cdef public bint is_ejected
    cdef public bint is_tls
    cdef public double latency_s
    cdef public double measured_at
    cdef public dict pools
    cdef public int port
    cdef public int probe_streak
    cdef public object server_name
    cdef public object url
    cdef public int weight
