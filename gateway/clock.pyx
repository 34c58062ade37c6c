# cython: language_level=3
"""`clock.py` in C: what `time.monotonic` gives, without an object for it."""

import time

cdef extern from *:
    """
    #include <time.h>
    /* Elsewhere than on Linux the interpreter's monotonic clock may be another than this one: the two must never be mixed. */
    #if defined(__linux__)
    static int zhiyun_monotonic(double *seconds) {
        struct timespec now;
        if (clock_gettime(CLOCK_MONOTONIC, &now)) return 0;
        *seconds = (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
        return 1;
    }
    #else
    static int zhiyun_monotonic(double *seconds) { return 0; }
    #endif
    """
    int zhiyun_monotonic(double *seconds)


cpdef double monotonic() except -1:
    cdef double seconds
    return seconds if zhiyun_monotonic(&seconds) else time.monotonic()
