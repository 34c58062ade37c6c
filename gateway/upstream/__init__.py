"""Upstreams: which endpoint answers, and what its failures mean. Decisions only; connections are gateway.http1's."""
