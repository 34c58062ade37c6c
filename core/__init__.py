"""Shared types, protocols, errors, clock and task supervision.

Every other package may import this one; it imports none of them, does no I/O and knows no I/O library.
"""
