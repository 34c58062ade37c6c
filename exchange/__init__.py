"""The data-exchange centre: collection jobs, conversion, the three data kinds, scheduling, recovery.

It reaches sources, bus and stores through core's protocols only.
"""
