"""The upper tiers: app cache in process, shared cache and limiter in Redis or in process, and coalescing of equal loads."""

from core import compiled

compiled.use(__name__, __path__)
