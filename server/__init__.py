"""The composition root: the only package that knows everything. Wires parts into processes, starts, watches and drains them."""
