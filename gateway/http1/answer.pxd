from gateway.http1.message cimport Request, Response

cpdef bytes lines(list headers)
cpdef bytes told(Request request)
cpdef bytes chunk(bytes data)
