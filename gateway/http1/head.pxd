cimport cython

from gateway.http1.message cimport Request

# C numbers: a comparison of a field's kind costs nothing.
cdef int API_KEY
cdef int AUTHORIZATION
cdef int CONNECTION
cdef int CONTENT_LENGTH
cdef int EXPECT
cdef int FORWARDED_FOR
cdef int FORWARDED_PROTO
cdef int HOST
cdef int REQUEST_ID
cdef int TIMEOUT
cdef int TRACE
cdef int TRACE_STATE
cdef int TRANSFER_ENCODING
cdef int UPGRADE


cdef class ResponseHead:
    cdef public int status
    cdef public int minor
    cdef public bytes status_line
    cdef public bytes forward
    cdef public long long body_length
    cdef public bint keep_alive
    cdef public bint is_interim
    cdef public bytes upgrade


cpdef Request usual_request(bytes data)

@cython.locals(verb=bytes, minor=int, told=list, request=Request)
cpdef Request parse_request(bytes head)

@cython.locals(connection=bytes, seen=int, kind=int, value=bytes)
cdef _apply_fields(Request request, list told)

cdef bytes _joined(Request request, int kind, bytes value)
cdef _apply_rarer(Request request, int kind, bytes value)
cdef _apply_credential(Request request, int kind, bytes value)
cdef _check_host(Request request, int seen)
cdef _check_framing(Request request, int seen)
cdef _apply_connection(Request request, bytes connection)
cdef _request_id(bytes value)
cdef bytes _trace(bytes value)

@cython.locals(connection=bytes, seen=int, kind=int, value=bytes, minor=int, told=list, status_line=bytes, response=ResponseHead)
cpdef ResponseHead parse_response(bytes head, bytes verb)

cdef long long _length_of(int kind, bytes value, int minor) except -3
cdef _apply_response_connection(ResponseHead response, bytes connection)
cdef _apply_status(ResponseHead response, bytes verb)
cpdef bint has_bare_line_end(bytes data)
