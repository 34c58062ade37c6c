"""The upper tiers: app cache in process, shared cache and limiter in Redis or in process, and coalescing of equal loads."""
