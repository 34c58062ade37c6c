"""The sample estate: six business systems of a made-up property group, each behind its real protocol.

It knows nothing of the platform (but for `core.supervise`), so that the platform meets it as it would meet strangers.
"""
