cimport cython


@cython.no_gc  # what it holds never leads back to it, and a memo holds many
cdef class Identity:
    cdef readonly str app
    cdef readonly str key
    cdef readonly object scopes
    cdef readonly str means
    cdef readonly str session
    cdef readonly str device
    cdef readonly str user
    cdef readonly str actor

    cpdef tuple _parts(self)
