"""Means of authentication (gateway.means), one a file, and what they are made of. None of them knows the listener or a route."""

from core import compiled

compiled.use(__name__, __path__)
