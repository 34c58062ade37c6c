cimport cython

from gateway.identity cimport Identity


cdef class Response:
    cdef public object status
    cdef public bytes block
    cdef public object _headers
    cdef public object _seen
    cdef public object body
    cdef public object stream
    cdef public bint is_passing
    cdef public object filters
    cdef public bint keeps_length


cdef class Request:
    cdef public bytes verb
    cdef public bytes target
    cdef public bytes head
    cdef public bytes forward
    cdef public bytes line
    cdef public bytes host
    cdef public bytes authorization
    cdef public bytes api_key
    cdef public bint is_signed
    cdef public int minor
    cdef public bint keep_alive
    cdef public bint expects_continue
    cdef public bytes upgrade
    cdef public bytes forwarded_for
    cdef public bytes forwarded_proto
    cdef public bint has_encoded_slash
    cdef public long long body_length
    cdef public object content
    cdef public long long timeout_ms
    cdef public object remote
    cdef public object scheme
    cdef public object certificate
    cdef public str request_id
    cdef public bytes trace
    cdef public double started
    cdef public double deadline
    cdef public double ended
    cdef public int status
    cdef public object error_code
    cdef public long long received_bytes
    cdef public long long sent_bytes
    cdef public object upstream
    cdef public double upstream_s
    cdef public bytes trace_state
    cdef public object pipe
    cdef public Identity identity
    cdef public object app
    cdef public list told
    cdef public object added
    cdef public object removed
    cdef public object upstream_target
    cdef public object _headers
    cdef public object _matched
    cdef public object _parameters
    cdef public object _query
    cdef public object _attributes
    cdef public object body_reader

    cpdef tell_line(self, bytes line)


cpdef bytes header_line(str name, str value)
