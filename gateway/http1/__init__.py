"""HTTP/1.1: bytes ↔ messages, strictly (RFC 9112), and each request's walk through its pipe. Does not decide who may do what.

The hot path, compiled where a C compiler is at hand (core.compiled): the same verdicts byte for byte, only faster.
"""

from core import compiled

compiled.use(__name__, __path__)
BUILD = compiled.BUILD
