"""Upstreams: which endpoint answers, and what its failures mean. Decisions only; connections are gateway.http1's."""

from core import compiled

compiled.use(__name__, __path__)
