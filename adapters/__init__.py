"""Connectors to foreign systems, one file per technology, each exposing `ADAPTER` (core/adapter.py).

They import core and config only. `loader` finds them; `guarded` puts bulkhead, timeout and breaker in front of any of them.
"""

from core import compiled

compiled.use(__name__, __path__)
