"""Runnable examples: a sample estate of foreign systems, and small programs against the platform."""
