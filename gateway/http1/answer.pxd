cimport cython

from gateway.http1.message cimport Request, Response

cpdef bytes lines(list headers)
@cython.locals(lines_told=list, identity=bytes)
cpdef bytes told(Request request)
cpdef bytes chunk(bytes data)
